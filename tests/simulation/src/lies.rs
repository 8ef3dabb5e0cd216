//! What a liar makes of an honest message: some lies end at the decoder, those that change single numbers and fields get past it.

use crate::fields::{self, Content, Field};
use crate::random::Random;

/// Kinds of messages are less than this, and some beyond are of no kind.
const KINDS: u64 = 24;
/// Kind of a question.
const QUESTION: u8 = 9;
/// Bytes that are made up at once.
const MAX_NOISE_BYTES: u64 = 80;
/// Messages of one flood.
const MAX_FLOOD: u64 = 600;
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
    match dice.below(15) {
        0 | 1 => flip(&mut message, dice),
        2 => message.truncate(place(message.len(), dice)),
        3 => {
            let place = place(message.len(), dice);
            message.splice(place..place, noise(dice));
        }
        4 => return vec![message.clone(), message],
        5 => return Vec::new(),
        14 => return flood(message, dice),
        6 => message = [vec![dice.below(KINDS) as u8], noise(dice)].concat(),
        7 | 8 if !earlier.is_empty() => return vec![dice.choose(earlier).clone(), message],
        _ => forge(&mut message, dice),
    }
    vec![message]
}

/// A question for all of a document.
pub(crate) fn question(number: u64, collection: &str, id: &[u8]) -> Vec<u8> {
    let contents = [
        Content::Number(number),
        Content::Bytes(collection.as_bytes().to_vec()),
        Content::Bytes(id.to_vec()),
    ];
    let field = |(content, number)| Field { number, content };
    let fields: Vec<Field> = contents.into_iter().zip(1..).map(field).collect();
    [vec![QUESTION], fields::write(&fields)].concat()
}

/// A message again and again, each time under the next number: as of questions, offers and batches.
fn flood(message: Vec<u8>, dice: &mut Random) -> Vec<Vec<u8>> {
    let fields = message.split_first().and_then(|(kind, rest)| Some((*kind, fields::read(rest)?)));
    let Some((kind, mut fields)) = fields else { return vec![message] };
    let next = |_| {
        let said = [vec![kind], fields::write(&fields)].concat();
        if let Some(Content::Number(number)) = fields.first_mut().map(|field| &mut field.content) {
            *number = number.wrapping_add(1);
        }
        said
    };
    (0..dice.between(2, MAX_FLOOD)).map(next).collect()
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
