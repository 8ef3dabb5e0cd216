//! Text to tokens, on demand.
//!
//! Words are not classified here: keywords are contextual, so only the parser can tell a keyword from a name.

use std::borrow::Cow;

use ditto_value::Value;

use crate::error::{ErrorKind, Fault, Place};
use crate::limits::MAX_IDENTIFIER_BYTES;

/// One token with the directive comments before it.
#[derive(Debug, Clone)]
pub(crate) struct Token<'t> {
    pub kind: TokenKind<'t>,
    /// Byte offsets of the token in the text.
    pub start: usize,
    pub end: usize,
    /// `/*+ … */` and `--+ …` that stand directly before: offset and JSON text.
    pub directives: Vec<(usize, &'t str)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind<'t> {
    /// A bare word: keyword or name.
    Word(&'t str),
    /// A name in backticks.
    Quoted(Cow<'t, str>),
    /// A string literal, escapes resolved.
    Text(String),
    /// A number literal.
    Number(Value),
    /// Punctuation or an operator.
    Symbol(&'static str),
    /// Text that is no token; nothing follows it.
    Bad(Box<Fault>),
    /// The end of the text.
    End,
}

/// Longest first, so that the first match is the token.
const SYMBOLS: [&str; 28] = [
    "->", "==", "!=", "<>", "<=", ">=", "<<", ">>", "||", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")",
    "[", "]", "{", "}", ",", ".", ":", ";", "|",
];

pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        // A byte order mark is not part of the statement.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at }
    }

    /// The next token; [`TokenKind::End`] for ever once the text is used up.
    pub fn next_token(&mut self) -> Token<'t> {
        let mut directives = Vec::new();
        let start = match self.skip_blank(&mut directives) {
            Ok(()) => self.at,
            Err(fault) => {
                let start = fault.place.0 as usize;
                self.at = self.text.len();
                return Token { kind: TokenKind::Bad(fault), start, end: start, directives };
            }
        };
        let kind = self.token().unwrap_or_else(|fault| {
            self.at = self.text.len();
            TokenKind::Bad(fault)
        });
        Token { kind, start, end: self.at, directives }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault(&self, offset: usize, message: impl Into<String>) -> Box<Fault> {
        Fault::new(ErrorKind::Syntax, Place::at(offset), message)
    }

    /// Skips white space and comments, and collects directives.
    fn skip_blank(&mut self, directives: &mut Vec<(usize, &'t str)>) -> Result<(), Box<Fault>> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.at += blank;
            } else if let Some(line) = rest.strip_prefix("--") {
                let length = line.find('\n').unwrap_or(line.len());
                if let Some(json) = line.get(..length).and_then(|line| line.strip_prefix('+')) {
                    directives.push((self.at + 3, json));
                }
                self.at += 2 + length;
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(self.fault(self.at, "this comment is never closed; expected */"));
                };
                if let Some(json) = comment.get(..length).and_then(|comment| comment.strip_prefix('+')) {
                    directives.push((self.at + 3, json));
                }
                self.at += 2 + length + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<TokenKind<'t>, Box<Fault>> {
        let rest = self.rest();
        match rest.chars().next() {
            None => Ok(TokenKind::End),
            Some('a'..='z' | 'A'..='Z' | '_') => self.word(),
            Some('0'..='9') => self.number(),
            Some('`') => self.quoted(),
            Some(quote @ ('\'' | '"')) => self.string(quote),
            Some(other) => {
                if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                    self.at += symbol.len();
                    return Ok(TokenKind::Symbol(symbol));
                }
                let fault = self.fault(self.at, format!("the character '{other}' has no meaning here"));
                Err(match other {
                    '?' | '$' | '@' => {
                        fault.hint("parameters are named and begin with a colon, for example :id")
                    }
                    _ if other.is_alphanumeric() => {
                        fault.hint("names with characters beyond ASCII letters need backticks: `…`")
                    }
                    _ => fault,
                })
            }
        }
    }

    fn word(&mut self) -> Result<TokenKind<'t>, Box<Fault>> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        let following = rest.get(length..).and_then(|rest| rest.chars().next());
        if let Some(other) = following.filter(|c| c.is_alphanumeric()) {
            return Err(self
                .fault(self.at + length, format!("the character '{other}' cannot be part of a bare name"))
                .hint("write the whole name in backticks: `…`"));
        }
        self.check_length(length)?;
        self.at += length;
        Ok(TokenKind::Word(word))
    }

    fn check_length(&self, length: usize) -> Result<(), Box<Fault>> {
        if length <= MAX_IDENTIFIER_BYTES {
            return Ok(());
        }
        let message =
            format!("a name of {length} bytes is too long; at most {MAX_IDENTIFIER_BYTES} are allowed");
        Err(Fault::new(ErrorKind::Limit, Place::at(self.at), message))
    }

    fn quoted(&mut self) -> Result<TokenKind<'t>, Box<Fault>> {
        let body = self.rest().get(1..).unwrap_or_default();
        let mut end = 0;
        loop {
            let Some(found) = body.get(end..).and_then(|tail| tail.find('`')) else {
                return Err(self.fault(self.at, "this name in backticks is never closed; expected `"));
            };
            end += found;
            if body.as_bytes().get(end + 1) != Some(&b'`') {
                break;
            }
            end += 2;
        }
        let name = body.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(self.fault(self.at, "a name in backticks must not be empty"));
        }
        self.check_length(name.len())?;
        self.at += end + 2;
        Ok(TokenKind::Quoted(if name.contains('`') {
            Cow::Owned(name.replace("``", "`"))
        } else {
            Cow::Borrowed(name)
        }))
    }

    fn number(&mut self) -> Result<TokenKind<'t>, Box<Fault>> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let (length, value) = if rest.starts_with("0x") || rest.starts_with("0X") {
            let hex = rest.get(2..).unwrap_or_default();
            let count = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let hex = hex.get(..count).unwrap_or_default();
            if hex.is_empty() {
                return Err(self.fault(self.at, "expected hexadecimal digits after 0x"));
            }
            let value = u64::from_str_radix(hex, 16).map(Value::from).unwrap_or_else(|_| {
                let sum = hex.chars().filter_map(|c| c.to_digit(16));
                Value::from(sum.fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit)))
            });
            (2 + count, value)
        } else {
            let mut length = digits(0);
            let whole = length;
            if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
                length += 1 + digits(length + 1);
            }
            if matches!(bytes.get(length), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
                let exponent = digits(length + 1 + sign);
                if exponent > 0 {
                    length += 1 + sign + exponent;
                }
            }
            let text = rest.get(..length).unwrap_or_default();
            let integer = if length == whole { text.parse::<u64>().ok() } else { None };
            let value = integer.map(Value::from).or_else(|| text.parse::<f64>().ok().map(Value::from));
            (length, value.unwrap_or_default())
        };
        if value == Value::Null {
            return Err(self.fault(self.at, "this number is too large for a 64-bit float"));
        }
        if rest
            .get(length..)
            .and_then(|rest| rest.chars().next())
            .is_some_and(|c| c.is_alphanumeric() || c == '_')
        {
            return Err(self
                .fault(self.at, "a number must not run into letters")
                .hint("put a space between them, or write a name that begins with a digit in backticks"));
        }
        self.at += length;
        Ok(TokenKind::Number(value))
    }

    fn string(&mut self, quote: char) -> Result<TokenKind<'t>, Box<Fault>> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            if character == quote {
                self.at += offset + 1;
                if self.rest().starts_with(quote) {
                    let fault = self.fault(self.at, "a quote inside a string is not written twice");
                    return Err(fault.hint(format!("write it with a backslash: \\{quote}")));
                }
                return Ok(TokenKind::Text(text));
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            let Some((_, escaped)) = characters.next() else { break };
            text.push(match escaped {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits = start + offset + 2;
                    let (character, length) = self.unicode_escape(digits)?;
                    for _ in 0..length {
                        characters.next();
                    }
                    character
                }
                other => other,
            });
        }
        Err(self.fault(start, format!("this string is never closed; expected {quote}")))
    }

    /// The character of the four hexadecimal digits at `offset`, or of the surrogate pair that begins there, and
    /// the length of its text.
    fn unicode_escape(&self, offset: usize) -> Result<(char, usize), Box<Fault>> {
        let unit = |offset: usize| {
            let digits = self.text.get(offset..offset.checked_add(4)?)?;
            let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hexadecimal.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        let Some(first) = unit(offset) else {
            return Err(self.fault(offset, "expected four hexadecimal digits after \\u"));
        };
        if let Some(character) = char::from_u32(first) {
            return Ok((character, 4));
        }
        let second =
            self.text.get(offset + 4..).filter(|rest| rest.starts_with("\\u")).and_then(|_| unit(offset + 6));
        if let (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) = (first, second) {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            if let Some(character) = char::from_u32(code) {
                return Ok((character, 10));
            }
        }
        Err(self.fault(offset, "half of a surrogate pair is not a character; expected two \\u escapes"))
    }
}

impl TokenKind<'_> {
    /// How an error message names the token.
    pub fn describe(&self) -> String {
        const SHOWN: usize = 40;
        let shorten = |text: &str| match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        };
        match self {
            Self::Word(word) => format!("'{}'", shorten(word)),
            Self::Quoted(name) => format!("the name `{}`", shorten(name)),
            Self::Text(text) => format!("the string '{}'", shorten(text)),
            Self::Number(value) => format!("the number {}", shorten(&value.to_json())),
            Self::Symbol(symbol) => format!("'{symbol}'"),
            Self::Bad(fault) => fault.message.clone(),
            Self::End => "the end of the statement".to_owned(),
        }
    }
}
