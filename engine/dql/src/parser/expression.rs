//! Operators: a Pratt parser over the precedences of the language.

use crate::ast::{Arithmetic, Comparison, Dialect, Expr, IsTest, Like};
use crate::error::{Checked, Place};
use crate::lexer::TokenKind;
use crate::limits::MAX_EXPRESSION_DEPTH;

use super::cursor::{Parser, too_deep};

/// Binding powers; the greater one binds tighter.
mod power {
    pub const OR: u8 = 5;
    pub const XOR: u8 = 7;
    pub const AND: u8 = 10;
    pub const NOT: u8 = 15;
    pub const IS: u8 = 17;
    pub const LIKE: u8 = 19;
    pub const COMPARE: u8 = 20;
    pub const SHIFT: u8 = 22;
    pub const ADD: u8 = 30;
    pub const MULTIPLY: u8 = 40;
}

/// An expression and the height of its tree.
pub(super) struct Node {
    pub expr: Expr,
    pub height: usize,
}

/// The greatest height among the parts of a tree under construction.
#[derive(Default)]
pub(super) struct Tallest(usize);

impl Tallest {
    pub fn add(&mut self, node: Node) -> Expr {
        self.0 = self.0.max(node.height);
        node.expr
    }

    /// The tree over the parts added, if that is not too high.
    pub fn under(&self, expr: Expr, place: Place) -> Checked<Node> {
        let height = self.0 + 1;
        if height > MAX_EXPRESSION_DEPTH { Err(too_deep(place)) } else { Ok(Node { expr, height }) }
    }
}

/// What stands between two operands.
enum Infix {
    Arithmetic(Arithmetic, u8),
    Compare(Comparison),
    And,
    Or,
    Xor,
    Is,
    In,
    Between,
    Like(Dialect),
    /// NOT before IN, BETWEEN or LIKE.
    Not(u8),
}

impl Infix {
    fn power(&self) -> u8 {
        match self {
            Self::Arithmetic(_, power) | Self::Not(power) => *power,
            Self::Compare(_) | Self::In | Self::Between => power::COMPARE,
            Self::And => power::AND,
            Self::Or => power::OR,
            Self::Xor => power::XOR,
            Self::Is => power::IS,
            Self::Like(_) => power::LIKE,
        }
    }
}

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Checked<Expr> {
        self.node().map(|node| node.expr)
    }

    pub(super) fn node(&mut self) -> Checked<Node> {
        self.deeper(|parser| parser.operators(0))
    }

    /// An expression whose operators bind at least as tight as `least`.
    fn operators(&mut self, least: u8) -> Checked<Node> {
        let place = self.place();
        let left = if self.at_word("NOT") { self.not(least)? } else { self.unary()? };
        self.more_operators(left, least, place)
    }

    /// What follows the first operand, which begins at a place.
    fn more_operators(&mut self, mut left: Node, least: u8, place: Place) -> Checked<Node> {
        while let Some(infix) = self.infix() {
            if infix.power() < least {
                break;
            }
            left = self.after(left, infix, place)?;
        }
        Ok(left)
    }

    fn not(&mut self, least: u8) -> Checked<Node> {
        if least > power::NOT {
            return Err(self.unexpected("an operand").hint("put the condition with NOT in parentheses"));
        }
        let place = self.place();
        self.take();
        let mut tallest = Tallest::default();
        let operand = self.deeper(|parser| parser.operators(power::NOT))?;
        let operand = tallest.add(operand);
        tallest.under(Expr::Not(Box::new(operand)), place)
    }

    fn unary(&mut self) -> Checked<Node> {
        let place = self.place();
        let build = match self.peek() {
            TokenKind::Symbol("-") => Expr::negate,
            TokenKind::Symbol("+") => Expr::plus,
            _ => return self.postfix(),
        };
        self.take();
        let mut tallest = Tallest::default();
        let operand = self.deeper(Self::unary)?;
        let operand = tallest.add(operand);
        tallest.under(build(operand), place)
    }

    fn infix(&self) -> Option<Infix> {
        use Arithmetic::{Add, Concatenate, Divide, Multiply, Remainder, ShiftLeft, ShiftRight, Subtract};
        Some(match self.peek() {
            TokenKind::Symbol(symbol) => match *symbol {
                "+" => Infix::Arithmetic(Add, power::ADD),
                "-" => Infix::Arithmetic(Subtract, power::ADD),
                "||" => Infix::Arithmetic(Concatenate, power::ADD),
                "*" => Infix::Arithmetic(Multiply, power::MULTIPLY),
                "/" => Infix::Arithmetic(Divide, power::MULTIPLY),
                "%" => Infix::Arithmetic(Remainder, power::MULTIPLY),
                "<<" => Infix::Arithmetic(ShiftLeft, power::SHIFT),
                ">>" => Infix::Arithmetic(ShiftRight, power::SHIFT),
                "=" | "==" => Infix::Compare(Comparison::Equal),
                "!=" | "<>" => Infix::Compare(Comparison::NotEqual),
                "<" => Infix::Compare(Comparison::Less),
                "<=" => Infix::Compare(Comparison::LessOrEqual),
                ">" => Infix::Compare(Comparison::Greater),
                ">=" => Infix::Compare(Comparison::GreaterOrEqual),
                _ => return None,
            },
            TokenKind::Word(_) if self.at_word("AND") => Infix::And,
            TokenKind::Word(_) if self.at_word("OR") => Infix::Or,
            TokenKind::Word(_) if self.at_word("XOR") => Infix::Xor,
            TokenKind::Word(_) if self.at_word("IS") => Infix::Is,
            TokenKind::Word(_) if self.at_word("IN") => Infix::In,
            TokenKind::Word(_) if self.at_word("BETWEEN") => Infix::Between,
            TokenKind::Word(_) if self.at_word("LIKE") => Infix::Like(Dialect::Like),
            TokenKind::Word(_) if self.at_word("ILIKE") => Infix::Like(Dialect::ILike),
            TokenKind::Word(_) if self.at_word("SIMILAR") && self.second_is_word("TO") => {
                Infix::Like(Dialect::SimilarTo)
            }
            TokenKind::Word(_) if self.at_word("NOT") => {
                if self.second_is_word("IN") || self.second_is_word("BETWEEN") {
                    Infix::Not(power::COMPARE)
                } else {
                    Infix::Not(power::LIKE)
                }
            }
            _ => return None,
        })
    }

    /// Takes an operator and its right side. All operators are left-associative.
    fn after(&mut self, left: Node, infix: Infix, place: Place) -> Checked<Node> {
        self.take();
        let mut tallest = Tallest::default();
        // Flat chains of AND and OR do not grow with each part.
        let flat = match (&infix, &left.expr) {
            (Infix::And, Expr::And(_)) | (Infix::Or, Expr::Or(_)) => left.height.saturating_sub(1),
            _ => left.height,
        };
        let left = tallest.add(Node { expr: left.expr, height: flat });
        let power = infix.power();
        let expr = match infix {
            Infix::Arithmetic(operator, _) => {
                let right = Box::new(self.right(power, &mut tallest)?);
                Expr::Arithmetic { operator, left: Box::new(left), right }
            }
            Infix::Compare(operator) => {
                let right = Box::new(self.right(power, &mut tallest)?);
                Expr::Compare { operator, left: Box::new(left), right }
            }
            Infix::And => Expr::and(left, self.right(power, &mut tallest)?),
            Infix::Or => Expr::or(left, self.right(power, &mut tallest)?),
            Infix::Xor => Expr::Xor(Box::new(left), Box::new(self.right(power, &mut tallest)?)),
            Infix::Is => self.is(left)?,
            Infix::In => self.in_list(left, false, &mut tallest)?,
            Infix::Between => self.between(left, false, &mut tallest)?,
            Infix::Like(dialect) => self.like(left, dialect, false, &mut tallest)?,
            Infix::Not(_) => match self.infix() {
                Some(Infix::In) => {
                    self.take();
                    self.in_list(left, true, &mut tallest)?
                }
                Some(Infix::Between) => {
                    self.take();
                    self.between(left, true, &mut tallest)?
                }
                Some(Infix::Like(dialect)) => {
                    self.take();
                    self.like(left, dialect, true, &mut tallest)?
                }
                _ => return Err(self.unexpected("IN, BETWEEN, LIKE, ILIKE or SIMILAR TO")),
            },
        };
        tallest.under(expr, place)
    }

    fn right(&mut self, power: u8, tallest: &mut Tallest) -> Checked<Expr> {
        let node = self.deeper(|parser| parser.operators(power + 1))?;
        Ok(tallest.add(node))
    }

    fn is(&mut self, operand: Expr) -> Checked<Expr> {
        let negated = self.accept_word("NOT");
        let tests = [
            ("NULL", IsTest::Null),
            ("UNKNOWN", IsTest::Null),
            ("MISSING", IsTest::Missing),
            ("TRUE", IsTest::True),
            ("FALSE", IsTest::False),
        ];
        for (word, test) in tests {
            if self.accept_word(word) {
                return Ok(Expr::Is { operand: Box::new(operand), test, negated });
            }
        }
        Err(self.unexpected("NULL, MISSING, TRUE or FALSE"))
    }

    fn in_list(&mut self, operand: Expr, negated: bool, tallest: &mut Tallest) -> Checked<Expr> {
        let place = self.place();
        let list = if self.accept_symbol("(") {
            let mut nodes = self.list(Parser::node)?;
            self.expect_symbol(")")?;
            let goes_on = self.at_step() || self.infix().is_some_and(|infix| infix.power() > power::COMPARE);
            match nodes.pop() {
                // `(a) || b` is no list, but an operand in parentheses.
                Some(first) if goes_on && nodes.is_empty() => {
                    let node = self.steps(first, place)?;
                    tallest.add(self.more_operators(node, power::COMPARE + 1, place)?)
                }
                last => Expr::array(nodes.into_iter().chain(last).map(|node| tallest.add(node)).collect()),
            }
        } else {
            self.right(power::COMPARE, tallest)?
        };
        Ok(Expr::In { operand: Box::new(operand), list: Box::new(list), negated })
    }

    fn between(&mut self, operand: Expr, negated: bool, tallest: &mut Tallest) -> Checked<Expr> {
        let low = Box::new(self.right(power::COMPARE, tallest)?);
        self.expect_word("AND")?;
        let high = Box::new(self.right(power::COMPARE, tallest)?);
        Ok(Expr::Between { operand: Box::new(operand), low, high, negated })
    }

    fn like(
        &mut self,
        operand: Expr,
        dialect: Dialect,
        negated: bool,
        tallest: &mut Tallest,
    ) -> Checked<Expr> {
        if dialect == Dialect::SimilarTo {
            self.expect_word("TO")?;
        }
        let place = self.place();
        let pattern = self.right(power::LIKE, tallest)?;
        let escape = if self.accept_word("ESCAPE") { Some(self.right(power::LIKE, tallest)?) } else { None };
        Ok(Expr::Like(Box::new(Like { operand, pattern, escape, dialect, negated, place })))
    }
}
