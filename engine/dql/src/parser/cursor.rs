//! The position in the token stream, and the small steps that all grammar rules are made of.

use ditto_value::{Object, Value};

use super::words;
use crate::ast::Directives;
use crate::error::{Checked, ErrorKind, Fault, Place};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::limits::MAX_EXPRESSION_DEPTH;

pub(crate) struct Parser<'t> {
    lexer: Lexer<'t>,
    next: Token<'t>,
    second: Token<'t>,
    /// How many expressions are open around the current token.
    pub(super) depth: usize,
}

impl<'t> Parser<'t> {
    pub fn new(text: &'t str) -> Self {
        let mut lexer = Lexer::new(text);
        let (next, second) = (lexer.next_token(), lexer.next_token());
        Self { lexer, next, second, depth: 0 }
    }

    pub(super) fn peek(&self) -> &TokenKind<'t> {
        &self.next.kind
    }

    pub(super) fn peek_second(&self) -> &TokenKind<'t> {
        &self.second.kind
    }

    pub(super) fn take(&mut self) -> TokenKind<'t> {
        let second = std::mem::replace(&mut self.second, self.lexer.next_token());
        std::mem::replace(&mut self.next, second).kind
    }

    /// Where the next token begins.
    pub(super) fn place(&self) -> Place {
        Place::at(self.next.start)
    }

    /// Whether the second token follows the first without white space.
    pub(super) fn second_is_adjacent(&self) -> bool {
        self.second.start == self.next.end
    }

    /// The fault that the next token is not what the grammar wants here.
    pub(super) fn unexpected(&self, expected: impl Into<String>) -> Box<Fault> {
        let place = self.place();
        match self.peek() {
            TokenKind::Bad(fault) => fault.clone(),
            found => {
                let found = found.describe();
                Fault::syntax(place, expected, found)
            }
        }
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn second_is_word(&self, word: &str) -> bool {
        matches!(self.peek_second(), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.take();
        }
        found
    }

    /// Accepts two words in a row, or none of them.
    pub(super) fn accept_words(&mut self, first: &str, second: &str) -> bool {
        let found = self.at_word(first) && self.second_is_word(second);
        if found {
            self.take();
            self.take();
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Checked<()> {
        if self.accept_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    pub(super) fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(found) if *found == symbol)
    }

    pub(super) fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.take();
        }
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Checked<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.unexpected(format!("'{symbol}'"))) }
    }

    /// A name, bare or in backticks. `what` names it in the error.
    pub(super) fn name(&mut self, what: &str) -> Checked<String> {
        match self.peek() {
            TokenKind::Word(word) => {
                let name = (*word).to_owned();
                self.take();
                Ok(name)
            }
            TokenKind::Quoted(name) => {
                let name = name.clone().into_owned();
                self.take();
                Ok(name)
            }
            TokenKind::Symbol(":") => {
                Err(self.unexpected(what).hint("parameters stand for values, not for names"))
            }
            TokenKind::Text(_) => {
                Err(self.unexpected(what).hint("quotes delimit strings; a name is bare or in backticks"))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// An alias after AS, or without it if the next word can only be an alias.
    pub(super) fn alias(&mut self) -> Checked<Option<String>> {
        if self.accept_word("AS") {
            if self.at_word("ALL") {
                return Err(self.unexpected("an alias").hint("write `all` in backticks to use it as a name"));
            }
            return self.name("an alias").map(Some);
        }
        match self.peek() {
            TokenKind::Quoted(_) => self.name("an alias").map(Some),
            TokenKind::Word(word) if !words::ends_expression(word) => self.name("an alias").map(Some),
            _ => Ok(None),
        }
    }

    /// One or more items separated by commas.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Checked<T>) -> Checked<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_symbol(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The directives written directly before the next token.
    pub(super) fn directives(&mut self) -> Checked<Directives> {
        let written = std::mem::take(&mut self.next.directives);
        let mut all = Object::new();
        for (offset, json) in written {
            all.extend(directive_object(Place::at(offset), json)?);
        }
        Ok(Directives(all))
    }

    /// Runs `parse` one level deeper.
    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        if self.depth >= MAX_EXPRESSION_DEPTH {
            return Err(too_deep(self.place()));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }
}

/// The object of directives in `json`.
pub(super) fn directive_object(place: Place, json: &str) -> Checked<Object> {
    match Value::from_json(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault::new(ErrorKind::Syntax, place, "expected a JSON object of directives")
            .hint("for example {\"#index\": \"by_name\"}")),
        Err(error) => Err(Fault::new(
            ErrorKind::Syntax,
            place,
            format!("expected a JSON object of directives: {error}"),
        )),
    }
}

pub(super) fn too_deep(place: Place) -> Box<Fault> {
    let message = format!("this expression is nested deeper than {MAX_EXPRESSION_DEPTH} levels");
    Fault::new(ErrorKind::Limit, place, message).hint("pass large values as parameters")
}
