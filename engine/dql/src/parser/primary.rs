//! Operands: literals, names, calls and the forms that are written in words.

use ditto_value::Value;

use crate::ast::{
    AggregateCall, AggregateFunction, ArrayFor, Binding, Call, Case, CastKind, Expr, ObjectFor, Parameter,
    Quantified, Quantifier, TrimSide,
};
use crate::error::{Checked, Fault, Place};
use crate::functions;
use crate::lexer::TokenKind;

use super::cursor::Parser;
use super::expression::{Node, Tallest};
use super::words;

impl Parser<'_> {
    /// An operand with `.member` and `[index]` steps.
    pub(super) fn postfix(&mut self) -> Checked<Node> {
        let place = self.place();
        let node = self.primary()?;
        self.steps(node, place)
    }

    /// Whether a member or an element of the operand before is meant.
    pub(super) fn at_step(&self) -> bool {
        self.at_symbol("[") || self.at_symbol(".") && !matches!(self.peek_second(), TokenKind::Symbol("*"))
    }

    /// The steps that follow an operand, which begins at a place.
    pub(super) fn steps(&mut self, mut node: Node, place: Place) -> Checked<Node> {
        while self.at_step() {
            let mut tallest = Tallest::default();
            if self.accept_symbol(".") {
                let of = tallest.add(node);
                let name = self.name("the name of a member")?;
                let grows = !matches!(of, Expr::Path(_));
                let member = Expr::member(of, name);
                node = if grows { tallest.under(member, place)? } else { Node { expr: member, height: 1 } };
            } else {
                self.expect_symbol("[")?;
                let of = Box::new(tallest.add(node));
                if self.at_symbol(":") {
                    return Err(self
                        .unexpected("an index or the name of a member")
                        .hint("parameters stand for values and cannot select a member"));
                }
                let index = Box::new(tallest.add(self.node()?));
                self.expect_symbol("]")?;
                node = tallest.under(Expr::Subscript { of, index }, place)?;
            }
        }
        Ok(node)
    }

    fn primary(&mut self) -> Checked<Node> {
        let place = self.place();
        let leaf = |expr| Ok(Node { expr, height: 1 });
        match self.peek() {
            TokenKind::Number(_) | TokenKind::Text(_) => match self.take() {
                TokenKind::Number(number) => leaf(Expr::Literal(number)),
                TokenKind::Text(text) => leaf(Expr::Literal(Value::String(text))),
                _ => leaf(Expr::Missing),
            },
            TokenKind::Symbol(":") => self.parameter().and_then(leaf),
            TokenKind::Symbol("(") => {
                self.take();
                let node = self.node()?;
                if self.at_symbol(",") {
                    return Err(Fault::semantics(
                        place,
                        "a list in parentheses is only allowed to the right of IN",
                    )
                    .hint("write an array: [a, b]"));
                }
                self.expect_symbol(")")?;
                Ok(node)
            }
            TokenKind::Symbol("[") => self.array_literal(),
            TokenKind::Symbol("{") => self.object_literal(),
            TokenKind::Quoted(_) => {
                if matches!(self.peek_second(), TokenKind::Symbol("(")) {
                    return self.call();
                }
                leaf(Expr::name(self.name("a name")?, place))
            }
            TokenKind::Word(word) => {
                let word = *word;
                self.word_operand(word)
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn parameter(&mut self) -> Checked<Expr> {
        let place = self.place();
        match (self.second_is_adjacent(), self.peek_second()) {
            (true, TokenKind::Word(name)) => {
                let name = (*name).to_owned();
                self.take();
                self.take();
                Ok(Expr::Parameter(Parameter { name, place }))
            }
            _ => {
                self.take();
                Err(self
                    .unexpected("the name of a parameter directly after ':'")
                    .hint("parameters are named, not numbered, for example :id"))
            }
        }
    }

    fn array_literal(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let elements = if self.at_symbol("]") {
            Vec::new()
        } else {
            self.list(|parser| Ok(tallest.add(parser.node()?)))?
        };
        self.expect_symbol("]")?;
        tallest.under(Expr::array(elements), place)
    }

    fn object_literal(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let members = if self.at_symbol("}") {
            Vec::new()
        } else {
            self.list(|parser| {
                let name = tallest.add(parser.node()?);
                parser.expect_symbol(":")?;
                Ok((name, tallest.add(parser.node()?)))
            })?
        };
        self.expect_symbol("}")?;
        tallest.under(Expr::object(members), place)
    }

    /// An operand that begins with a bare word: a keyword form, a call, or a name.
    fn word_operand(&mut self, word: &str) -> Checked<Node> {
        let place = self.place();
        let leaf = |expr| Ok(Node { expr, height: 1 });
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let constant = match () {
            () if is("TRUE") => Some(Expr::boolean(true)),
            () if is("FALSE") => Some(Expr::boolean(false)),
            () if is("NULL") => Some(Expr::Literal(Value::Null)),
            () if is("MISSING") => Some(Expr::Missing),
            () => None,
        };
        if let Some(constant) = constant {
            self.take();
            return leaf(constant);
        }
        if is("CASE") && (self.second_begins_operand() || self.second_is_word("WHEN")) {
            return self.case();
        }
        if (is("ANY") || is("SOME") || is("EVERY")) && self.second_is_name() {
            let quantifier = if is("EVERY") { Quantifier::Every } else { Quantifier::Any };
            self.take();
            return self.quantified(quantifier, place);
        }
        if is("ANY") && self.second_is_word("AND") {
            self.take();
            if !self.accept_words("AND", "EVERY") {
                return leaf(Expr::name(word.to_owned(), place));
            }
            return self.quantified(Quantifier::AnyAndEvery, place);
        }
        if is("ARRAY") && self.second_begins_operand() {
            return self.array_for();
        }
        if is("OBJECT") && self.second_begins_operand() {
            return self.object_for();
        }
        if matches!(self.peek_second(), TokenKind::Symbol("(")) {
            if is("CAST") {
                return self.cast();
            }
            if is("TRIM") {
                return self.trim();
            }
            if is("POSITION") {
                return self.position();
            }
            if !words::never_name(word) {
                return self.call();
            }
        }
        if words::ends_expression(word) && !self.is_name_after_all(word) {
            return Err(self
                .unexpected("an expression")
                .hint(format!("to use {word} as a name, write `{word}` in backticks")));
        }
        self.take();
        leaf(Expr::name(word.to_owned(), place))
    }

    /// Whether the clause word here can only be the name of a field, judging by the token after it.
    fn is_name_after_all(&self, word: &str) -> bool {
        !words::never_name(word)
            && match self.peek_second() {
                TokenKind::Symbol(symbol) => !matches!(*symbol, "(" | "[" | "{" | ":"),
                TokenKind::Word(next) => words::follows_name(next),
                TokenKind::End => true,
                _ => false,
            }
    }

    fn second_begins_operand(&self) -> bool {
        match self.peek_second() {
            TokenKind::Word(word) => words::begins_operand(word),
            TokenKind::Symbol(symbol) => matches!(*symbol, "(" | "[" | "{" | ":" | "-" | "+"),
            TokenKind::Quoted(_) | TokenKind::Text(_) | TokenKind::Number(_) => true,
            TokenKind::Bad(_) | TokenKind::End => false,
        }
    }

    pub(super) fn second_is_name(&self) -> bool {
        match self.peek_second() {
            TokenKind::Word(word) => !words::ends_expression(word),
            TokenKind::Quoted(_) => true,
            _ => false,
        }
    }

    fn call(&mut self) -> Checked<Node> {
        let place = self.place();
        let bare = matches!(self.peek(), TokenKind::Word(_));
        let name = self.name("a function")?;
        self.expect_symbol("(")?;
        if bare && let Some(function) = aggregate(&name) {
            return self.aggregate(function, place);
        }
        if name.eq_ignore_ascii_case("trim") {
            return self.trim_ends(TrimSide::Both, place);
        }
        let Some(function) = functions::find(&name) else {
            let fault = Fault::semantics(place, format!("there is no function named {name}"));
            return Err(match functions::similar(&name) {
                Some(known) => fault.hint(format!("did you mean {known}?")),
                None => fault,
            });
        };
        let mut tallest = Tallest::default();
        let arguments = if self.at_symbol(")") {
            Vec::new()
        } else {
            self.list(|parser| Ok(tallest.add(parser.node()?)))?
        };
        self.expect_symbol(")")?;
        if let Some(wanted) = function.refuses(arguments.len()) {
            let given = arguments.len();
            return Err(Fault::semantics(place, format!("{} takes {wanted}, {given} given", function.name)));
        }
        tallest.under(Expr::Call(Call { function, arguments, place }), place)
    }

    fn aggregate(&mut self, function: AggregateFunction, place: Place) -> Checked<Node> {
        let mut tallest = Tallest::default();
        let (distinct, argument) = if self.at_symbol("*") {
            if function != AggregateFunction::Count {
                return Err(self.unexpected("an expression").hint("only COUNT takes *"));
            }
            self.take();
            (false, None)
        } else {
            (self.accept_word("DISTINCT"), Some(tallest.add(self.node()?)))
        };
        self.expect_symbol(")")?;
        let call = Box::new(AggregateCall { function, distinct, argument, place });
        tallest.under(Expr::Aggregate { slot: 0, call }, place)
    }

    fn cast(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        self.take();
        let mut tallest = Tallest::default();
        let operand = Box::new(tallest.add(self.node()?));
        let expected = "one of string, integer, float, boolean, binary";
        let name = if self.accept_symbol(",") {
            match self.peek() {
                TokenKind::Text(name) => name.clone(),
                _ => return Err(self.unexpected(format!("{expected} in quotes"))),
            }
        } else if self.accept_word("AS") {
            match self.peek() {
                TokenKind::Word(name) => (*name).to_owned(),
                _ => return Err(self.unexpected(expected)),
            }
        } else {
            return Err(self.unexpected("AS or ','"));
        };
        let kinds =
            [CastKind::String, CastKind::Integer, CastKind::Float, CastKind::Boolean, CastKind::Binary];
        let Some(to) = kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&name)) else {
            return Err(self.unexpected(expected));
        };
        self.take();
        self.expect_symbol(")")?;
        tallest.under(Expr::Cast { operand, to }, place)
    }

    fn trim(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        self.take();
        let sides = [TrimSide::Both, TrimSide::Leading, TrimSide::Trailing];
        let named = sides.into_iter().find(|side| {
            self.at_word(side.as_str()) && (self.second_begins_operand() || self.second_is_word("FROM"))
        });
        let Some(side) = named else { return self.trim_ends(TrimSide::Both, place) };
        self.take();
        let mut tallest = Tallest::default();
        let characters = if self.at_word("FROM") && self.second_begins_operand() {
            None
        } else {
            Some(Box::new(tallest.add(self.node()?)))
        };
        self.expect_word("FROM")?;
        let operand = Box::new(tallest.add(self.node()?));
        self.expect_symbol(")")?;
        tallest.under(Expr::Trim { side, characters, operand }, place)
    }

    /// The rest of `trim(text)`.
    fn trim_ends(&mut self, side: TrimSide, place: Place) -> Checked<Node> {
        let mut tallest = Tallest::default();
        let operand = Box::new(tallest.add(self.node()?));
        self.expect_symbol(")")?;
        tallest.under(Expr::Trim { side, characters: None, operand }, place)
    }

    /// `POSITION(part IN text)`, which is `pos(text, part)`.
    fn position(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        self.take();
        let mut tallest = Tallest::default();
        let node = self.node()?;
        let height = node.height;
        let Expr::In { operand, list, negated: false } = tallest.add(Node { height, ..node }) else {
            return Err(Fault::semantics(place, "expected POSITION(part IN text)"));
        };
        self.expect_symbol(")")?;
        let Some(function) = functions::find("pos") else {
            return Err(self.unexpected("a function"));
        };
        // `IN (text)` was read as a list of one.
        let text = match *list {
            Expr::Array(mut elements) if elements.len() == 1 => elements.pop().unwrap_or(Expr::Missing),
            Expr::Literal(Value::Array(mut elements)) if elements.len() == 1 => {
                Expr::Literal(elements.pop().unwrap_or_default())
            }
            other => other,
        };
        tallest.under(Expr::Call(Call { function, arguments: vec![text, *operand], place }), place)
    }

    fn case(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let operand = if self.at_word("WHEN") { None } else { Some(tallest.add(self.node()?)) };
        let mut branches = Vec::new();
        while self.accept_word("WHEN") {
            let when = tallest.add(self.node()?);
            self.expect_word("THEN")?;
            branches.push((when, tallest.add(self.node()?)));
        }
        if branches.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let otherwise = if self.accept_word("ELSE") { Some(tallest.add(self.node()?)) } else { None };
        if !self.accept_word("END") {
            return Err(self.unexpected("WHEN, ELSE or END"));
        }
        tallest.under(Expr::Case(Box::new(Case { operand, branches, otherwise })), place)
    }

    fn quantified(&mut self, quantifier: Quantifier, place: Place) -> Checked<Node> {
        let mut tallest = Tallest::default();
        let bindings = self.list(|parser| parser.binding(&mut tallest))?;
        self.expect_word("SATISFIES")?;
        let condition = tallest.add(self.node()?);
        self.expect_word("END")?;
        tallest.under(Expr::Quantified(Box::new(Quantified { quantifier, bindings, condition })), place)
    }

    fn binding(&mut self, tallest: &mut Tallest) -> Checked<Binding> {
        let first = self.name("a name for the elements")?;
        let (key, value) = if self.accept_symbol(":") {
            (Some(first), self.name("a name for the elements")?)
        } else {
            (None, first)
        };
        let within = self.accept_word("WITHIN");
        if !within && !self.accept_word("IN") {
            return Err(self.unexpected("IN or WITHIN"));
        }
        Ok(Binding { key, value, within, source: tallest.add(self.node()?) })
    }

    fn array_for(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let result = tallest.add(self.node()?);
        let (binding, condition) = self.for_clause(&mut tallest)?;
        tallest.under(Expr::ArrayFor(Box::new(ArrayFor { result, binding, condition })), place)
    }

    fn object_for(&mut self) -> Checked<Node> {
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let name = tallest.add(self.node()?);
        self.expect_symbol(":")?;
        let result = tallest.add(self.node()?);
        let (binding, condition) = self.for_clause(&mut tallest)?;
        tallest.under(Expr::ObjectFor(Box::new(ObjectFor { name, result, binding, condition })), place)
    }

    /// `FOR binding [WHEN condition] END`.
    fn for_clause(&mut self, tallest: &mut Tallest) -> Checked<(Binding, Option<Expr>)> {
        self.expect_word("FOR")?;
        let binding = self.binding(tallest)?;
        let condition = if self.accept_word("WHEN") { Some(tallest.add(self.node()?)) } else { None };
        self.expect_word("END")?;
        Ok((binding, condition))
    }
}

fn aggregate(name: &str) -> Option<AggregateFunction> {
    use AggregateFunction::{Average, Count, Maximum, Median, Middle, Minimum, Sum};
    [Count, Sum, Average, Minimum, Maximum, Median, Middle]
        .into_iter()
        .find(|function| function.as_str().eq_ignore_ascii_case(name))
}
