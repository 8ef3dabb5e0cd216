//! Tokens to syntax tree: one function per grammar rule, operators by precedence climbing.
//!
//! The tree that leaves this module has unresolved names; [`crate::check`] resolves them.

mod cursor;
mod expression;
mod mutation;
mod primary;
mod select;
mod source;
mod system;
mod words;

use crate::ast::{InsertBody, Statement, StatementKind};
use crate::check;
use crate::error::{Checked, ErrorKind, Fault, ParseError, Place};
use crate::lexer::TokenKind;
use crate::limits::MAX_STATEMENT_BYTES;

pub(crate) use cursor::Parser;
pub(crate) use words::needs_backticks;

/// Parses and checks one statement; a trailing `;` is allowed.
///
/// ```
/// let error = ditto_dql::parse("SELECT * FROM my-plants").unwrap_err();
/// assert_eq!((error.line, error.column), (1, 17));
/// ```
///
/// # Errors
/// The first mistake, with line and column.
pub fn parse(text: &str) -> Result<Statement, ParseError> {
    let checked = parse_unchecked(text, MAX_STATEMENT_BYTES).and_then(|mut statement| {
        check::statement(&mut statement)?;
        Ok(statement)
    });
    checked.map_err(|fault| fault.into_error(text))
}

/// Parses one statement of at most `limit` bytes without resolving names.
pub(crate) fn parse_unchecked(text: &str, limit: usize) -> Checked<Statement> {
    if text.len() > limit {
        let message = format!("a statement of {} bytes is too long; at most {limit} are allowed", text.len());
        return Err(
            Fault::new(ErrorKind::Limit, Place::at(0), message).hint("pass large values as parameters")
        );
    }
    let mut parser = Parser::new(text);
    let statement = parser.statement()?;
    let more = parser.accept_symbol(";");
    if *parser.peek() == TokenKind::End {
        return Ok(statement);
    }
    let fault = parser.unexpected("the end of the statement");
    Err(if more {
        fault.hint("execute one statement at a time")
    } else if parser.at_symbol("-") {
        fault.hint("a name with a hyphen needs backticks: `…`")
    } else {
        fault
    })
}

impl Parser<'_> {
    fn statement(&mut self) -> Checked<Statement> {
        let directives = self.directives()?;
        let TokenKind::Word(word) = self.peek() else {
            return Err(self.unexpected("a statement"));
        };
        Ok(match word.to_ascii_uppercase().as_str() {
            "SELECT" => Statement::Select(self.select(directives)?),
            "INSERT" => Statement::Insert(self.insert(directives)?),
            "UPDATE" => Statement::Update(self.update(directives)?),
            "DELETE" | "TOMBSTONE" => self.delete(directives)?,
            "EVICT" => self.evict(directives)?,
            "EXPLAIN" => Statement::Explain(Box::new(self.inner("EXPLAIN")?)),
            "PROFILE" => Statement::Profile(Box::new(self.inner("PROFILE")?)),
            "ADVISE" => self.advise()?,
            "SHOW" => Statement::Show(self.show()?),
            "ALTER" => Statement::AlterSystem(self.alter_system()?),
            "CREATE" => Statement::CreateIndex(self.create_index()?),
            "DROP" => Statement::DropIndex(self.drop_index()?),
            _ => {
                let fault = self.unexpected("a statement");
                return Err(fault.hint(
                    "statements begin with SELECT, INSERT, UPDATE, DELETE, EVICT, EXPLAIN, PROFILE, ADVISE, SHOW, \
                     ALTER SYSTEM, CREATE INDEX or DROP INDEX",
                ));
            }
        })
    }

    /// The statement inside EXPLAIN, PROFILE or ADVISE.
    fn inner(&mut self, outer: &str) -> Checked<Statement> {
        use StatementKind::{Advise, CreateIndex, Delete, DropIndex, Evict, Insert, Select, Update};
        self.take();
        let place = self.place();
        let inner = self.deeper(Self::statement)?;
        let allowed = match outer {
            "EXPLAIN" => {
                matches!(
                    inner.kind(),
                    Select | Insert | Update | Delete | Evict | CreateIndex | DropIndex | Advise
                )
            }
            "PROFILE" => matches!(inner.kind(), Select | Insert | Update | Delete | Evict),
            _ => match &inner {
                Statement::Insert(insert) => matches!(insert.body, InsertBody::Select(_)),
                other => matches!(other.kind(), Select | Update | Delete | Evict),
            },
        };
        if allowed {
            Ok(inner)
        } else {
            Err(Fault::new(ErrorKind::Syntax, place, format!("{outer} cannot be applied to this statement")))
        }
    }

    fn advise(&mut self) -> Checked<Statement> {
        let provision = self.second_is_word("AND");
        if provision {
            self.take();
            self.take();
            if !self.at_word("PROVISION") {
                return Err(self.unexpected("PROVISION"));
            }
        }
        // `inner` takes the word before the statement: ADVISE or PROVISION.
        Ok(Statement::Advise { provision, statement: Box::new(self.inner("ADVISE")?) })
    }
}
