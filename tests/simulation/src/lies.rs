//! What a liar makes of an honest message: some lies end at the decoder, those that change single numbers and fields get past it.

use crate::fields::{self, Content};
use crate::random::Random;

/// Kinds of messages are less than this, and some beyond are of no kind.
const KINDS: u64 = 24;
/// Bytes that are made up at once.
const MAX_NOISE_BYTES: u64 = 80;
/// Fields in fields that are looked into.
const DEPTH: u32 = 3;

fn place(length: usize, dice: &mut Random) -> usize {
    usize::try_from(dice.below(length as u64)).unwrap_or(0)
}

fn noise(dice: &mut Random) -> Vec<u8> {
    (0..dice.between(1, MAX_NOISE_BYTES)).map(|_| dice.draw() as u8).collect()
}

fn flip(message: &mut [u8], dice: &mut Random) {
    for _ in 0..dice.between(1, 3) {
        let place = place(message.len(), dice);
        if let Some(byte) = message.get_mut(place) {
            *byte ^= 1 << dice.below(8);
        }
    }
}

/// What is sent in the place of a message. `earlier` are messages of sessions before.
pub(crate) fn instead_of(mut message: Vec<u8>, earlier: &[Vec<u8>], dice: &mut Random) -> Vec<Vec<u8>> {
    match dice.below(14) {
        0 | 1 => flip(&mut message, dice),
        2 => message.truncate(place(message.len(), dice)),
        3 => {
            let place = place(message.len(), dice);
            message.splice(place..place, noise(dice));
        }
        4 => return vec![message.clone(), message],
        5 => return Vec::new(),
        6 => message = [vec![dice.below(KINDS) as u8], noise(dice)].concat(),
        7 | 8 if !earlier.is_empty() => return vec![dice.choose(earlier).clone(), message],
        _ => forge(&mut message, dice),
    }
    vec![message]
}

/// One field says something else, is there twice, or is missing; all lengths are right.
fn forge(message: &mut Vec<u8>, dice: &mut Random) {
    let Some((kind, rest)) = message.split_first() else { return };
    match forged(rest, DEPTH, dice) {
        Some(fields) => *message = [vec![*kind], fields].concat(),
        None => flip(message, dice),
    }
}

fn forged(bytes: &[u8], depth: u32, dice: &mut Random) -> Option<Vec<u8>> {
    let mut fields = fields::read(bytes).filter(|fields| !fields.is_empty())?;
    let index = place(fields.len(), dice);
    match dice.below(10) {
        0 => {
            fields.remove(index);
        }
        1 => {
            let twice = fields[index].clone();
            fields.push(twice);
        }
        2 => fields[index].number = dice.between(1, 12),
        _ => match &mut fields[index].content {
            Content::Number(number) => {
                let near = [number.wrapping_add(1), number.wrapping_sub(1), *number ^ (1 << dice.below(64))];
                let far = [0, 1, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX, dice.draw()];
                *number = if dice.percent(60) { *dice.choose(&near) } else { *dice.choose(&far) };
            }
            Content::Bytes(inner) => {
                let deeper =
                    if depth > 0 && dice.percent(80) { forged(inner, depth - 1, dice) } else { None };
                match deeper {
                    Some(deeper) => *inner = deeper,
                    None if dice.percent(70) => flip(inner, dice),
                    None => *inner = noise(dice),
                }
            }
        },
    }
    Some(fields::write(&fields))
}
