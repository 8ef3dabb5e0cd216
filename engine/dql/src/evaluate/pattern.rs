//! LIKE, ILIKE, SIMILAR TO and regular expressions.
//!
//! LIKE needs no compilation. The others become a [`regex::Regex`], which matches in linear time; each thread
//! keeps the few it used last, so that a pattern in a literal or argument is compiled once and not per row.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};

use crate::ast::Dialect;
use crate::limits::{MAX_PATTERN_BYTES, MAX_PATTERN_DEPTH, MAX_PATTERN_TEXT};

/// How many compiled expressions a thread keeps.
const KEPT: usize = 8;

thread_local! {
    /// Least recently used first: source text with flags, and the expression unless malformed.
    static COMPILED: RefCell<Vec<(String, Option<Regex>)>> = const { RefCell::new(Vec::new()) };
}

/// Whether `text` matches; `None` for a malformed pattern.
pub(crate) fn matches(dialect: Dialect, text: &str, pattern: &str, escape: Option<&str>) -> Option<bool> {
    let escape = escape_character(escape).ok()?;
    if pattern.len() > MAX_PATTERN_TEXT {
        return None;
    }
    match dialect {
        Dialect::Like => like(text, pattern, escape, |character| character),
        Dialect::ILike => like(text, pattern, escape, fold),
        Dialect::SimilarTo => with_regex(&similar(pattern, escape).ok()?, |regex| regex.is_match(text)),
    }
}

/// Whether a regular expression matches somewhere in `text`; `None` if it or the flags are malformed.
pub(crate) fn regular(text: &str, expression: &str, flags: &str) -> Option<bool> {
    let written = with_flags(expression, flags).ok()?;
    with_regex(&written, |regex| regex.is_match(text))
}

/// Why a constant pattern is malformed, if it is.
pub(crate) fn check(dialect: Dialect, pattern: &str, escape: Option<&str>) -> Result<(), String> {
    let escape = escape_character(escape)?;
    if pattern.len() > MAX_PATTERN_TEXT {
        return Err(format!("it is longer than {MAX_PATTERN_TEXT} bytes"));
    }
    match dialect {
        Dialect::Like | Dialect::ILike => {
            let mut characters = pattern.chars();
            while let Some(character) = characters.next() {
                if character == escape && characters.next().is_none() {
                    return Err("it ends with its escape character".to_owned());
                }
            }
            Ok(())
        }
        Dialect::SimilarTo => compile(&similar(pattern, escape)?).map(|_| ()),
    }
}

/// Why a constant regular expression is malformed, if it is.
pub(crate) fn check_regular(expression: &str, flags: &str) -> Result<(), String> {
    compile(&with_flags(expression, flags)?).map(|_| ())
}

fn escape_character(escape: Option<&str>) -> Result<char, String> {
    let Some(escape) = escape else { return Ok('\\') };
    let mut characters = escape.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(character),
        _ => Err("the escape must be one character".to_owned()),
    }
}

/// The same for characters that differ only in case, as far as one character stands for one.
fn fold(character: char) -> char {
    let mut upper = character.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => character,
    };
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => upper,
    }
}

/// Greedy matching with one point to return to, the last `%`: O(text · pattern) at worst, no allocation.
fn like(text: &str, pattern: &str, escape: char, fold: impl Fn(char) -> char) -> Option<bool> {
    let mut text = text.chars();
    let mut pattern = pattern.chars();
    // Where to go on when a character does not fit: the pattern after the last %, and the text it was tried at.
    let mut retry = None;
    loop {
        let before = text.clone();
        let fits = match pattern.next() {
            None => match text.next() {
                None => return Some(true),
                Some(_) => false,
            },
            Some('%') if escape != '%' => {
                retry = Some((pattern.clone(), before));
                continue;
            }
            Some('_') if escape != '_' => text.next().is_some(),
            Some(literal) => {
                let literal = if literal == escape { pattern.next()? } else { literal };
                text.next().is_some_and(|character| fold(character) == fold(literal))
            }
        };
        if fits {
            continue;
        }
        let Some((after_wildcard, mut tried)) = retry else { return Some(false) };
        if tried.next().is_none() {
            return Some(false);
        }
        pattern = after_wildcard.clone();
        text = tried.clone();
        retry = Some((after_wildcard, tried));
    }
}

/// SIMILAR TO in terms of a regular expression over the whole text.
fn similar(pattern: &str, escape: char) -> Result<String, String> {
    let mut out = String::from("\\A(?s:");
    let mut characters = pattern.chars().peekable();
    let mut open = 0_usize;
    while let Some(character) = characters.next() {
        match character {
            _ if character == escape => match characters.next() {
                Some(literal) => push_literal(&mut out, literal),
                None => return Err("it ends with its escape character".to_owned()),
            },
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => {
                open += 1;
                out.push_str("(?:");
            }
            ')' => {
                open = open.checked_sub(1).ok_or("a ) has no (")?;
                out.push(')');
            }
            '{' => push_count(&mut out, &mut characters)?,
            '|' | '*' | '+' | '?' => out.push(character),
            '[' => push_list(&mut out, &mut characters, escape)?,
            literal => push_literal(&mut out, literal),
        }
    }
    if open > 0 {
        return Err("a ( is never closed".to_owned());
    }
    out.push_str(")\\z");
    Ok(out)
}

/// `{n}`, `{n,}` or `{n,m}`, after its brace.
fn push_count(
    out: &mut String,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<(), String> {
    out.push('{');
    for character in characters {
        match character {
            '0'..='9' | ',' => out.push(character),
            '}' => {
                out.push('}');
                return Ok(());
            }
            other => return Err(format!("a repetition is {{n}} or {{n,m}}, without {other}")),
        }
    }
    Err("a { is never closed".to_owned())
}

fn push_literal(out: &mut String, literal: char) {
    if literal.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(literal);
}

/// `[…]` with ranges and `^`.
fn push_list(
    out: &mut String,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    escape: char,
) -> Result<(), String> {
    out.push('[');
    if characters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    loop {
        match characters.next() {
            None => return Err("a [ is never closed".to_owned()),
            Some(']') => break,
            Some('-') => out.push('-'),
            Some(character) if character == escape => match characters.next() {
                Some(literal) => push_literal(out, literal),
                None => return Err("it ends with its escape character".to_owned()),
            },
            Some(literal) => push_literal(out, literal),
        }
    }
    out.push(']');
    Ok(())
}

/// Prefixes an expression with its flags; the last of contradicting ones wins.
fn with_flags(expression: &str, flags: &str) -> Result<String, String> {
    if expression.len() > MAX_PATTERN_TEXT {
        return Err(format!("it is longer than {MAX_PATTERN_TEXT} bytes"));
    }
    let (mut ignore_case, mut set) = (false, [false; 3]);
    let [lines, blanks, newlines] = &mut set;
    for flag in flags.chars() {
        match flag {
            'i' => ignore_case = true,
            'c' => ignore_case = false,
            'm' => *lines = true,
            'x' => *blanks = true,
            's' => *newlines = true,
            other => return Err(format!("there is no flag {other}; flags are c, i, m, s and x")),
        }
    }
    let flags: String = [(ignore_case, 'i'), (set[0], 'm'), (set[1], 'x'), (set[2], 's')]
        .into_iter()
        .filter_map(|(set, flag)| set.then_some(flag))
        .collect();
    Ok(if flags.is_empty() { expression.to_owned() } else { format!("(?{flags}){expression}") })
}

fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .size_limit(MAX_PATTERN_BYTES)
        .nest_limit(MAX_PATTERN_DEPTH)
        .build()
        .map_err(|error| error.to_string())
}

fn with_regex<T>(expression: &str, act: impl FnOnce(&Regex) -> T) -> Option<T> {
    COMPILED.with_borrow_mut(|kept| {
        let known = kept.iter().position(|(text, _)| text == expression);
        let entry = match known {
            Some(position) => kept.remove(position),
            None => {
                if kept.len() >= KEPT {
                    kept.remove(0);
                }
                (expression.to_owned(), compile(expression).ok())
            }
        };
        let result = entry.1.as_ref().map(act);
        kept.push(entry);
        result
    })
}
