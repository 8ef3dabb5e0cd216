//! INSERT, UPDATE, DELETE and EVICT.

use crate::ast::{
    Action, Change, ConflictPolicy, Delete, Directives, Evict, Expr, Insert, InsertBody, Selection, Source,
    Statement, Update,
};
use crate::error::{Checked, ErrorKind, Fault};
use crate::lexer::TokenKind;

use super::cursor::Parser;
use super::select::Tail;

impl Parser<'_> {
    pub(super) fn insert(&mut self, directives: Directives) -> Checked<Insert> {
        self.expect_word("INSERT")?;
        self.expect_word("INTO")?;
        let mut target = self.target()?;
        if self.at_word("SELECT") {
            let inner = self.directives()?;
            let body = InsertBody::Select(Box::new(self.select(inner)?));
            let conflict = self.conflict()?.unwrap_or_default();
            return Ok(Insert { directives, target, body, conflict, returning: self.returning()? });
        }
        self.more_directives(&mut target.directives)?;
        let initial = self.accept_word("INITIAL");
        if !self.accept_word("DOCUMENTS") && !self.accept_word("VALUES") {
            let wanted = if initial { "DOCUMENTS or VALUES" } else { "DOCUMENTS, VALUES, INITIAL or SELECT" };
            return Err(self.unexpected(wanted));
        }
        let documents = self.list(|parser| {
            parser.expect_symbol("(")?;
            let document = parser.expression()?;
            parser.expect_symbol(")")?;
            Ok(document)
        })?;
        let place = self.place();
        let conflict = self.conflict()?;
        if initial && conflict.is_some() {
            return Err(Fault::new(
                ErrorKind::Syntax,
                place,
                "INITIAL cannot be combined with ON ID CONFLICT",
            )
            .hint("an INITIAL insert leaves existing documents alone"));
        }
        let body = InsertBody::Documents { initial, documents };
        let conflict = conflict.unwrap_or_default();
        Ok(Insert { directives, target, body, conflict, returning: self.returning()? })
    }

    fn conflict(&mut self) -> Checked<Option<ConflictPolicy>> {
        if !self.accept_word("ON") {
            return Ok(None);
        }
        self.expect_word("ID")?;
        self.expect_word("CONFLICT")?;
        let policies = [
            ("FAIL", ConflictPolicy::Fail),
            ("NOTHING", ConflictPolicy::Nothing),
            ("UPDATE_LOCAL_DIFF", ConflictPolicy::UpdateLocalDiff),
            ("UPDATE", ConflictPolicy::Update),
            ("MERGE", ConflictPolicy::Update),
        ];
        if !self.accept_word("DO") && !self.at_word("FAIL") {
            return Err(self.unexpected("DO or FAIL"));
        }
        for (word, policy) in policies {
            if self.accept_word(word) {
                return Ok(Some(policy));
            }
        }
        Err(self.unexpected("FAIL, NOTHING, UPDATE or UPDATE_LOCAL_DIFF"))
    }

    pub(super) fn update(&mut self, directives: Directives) -> Checked<Update> {
        self.expect_word("UPDATE")?;
        let source = self.source()?;
        let mut changes = Vec::new();
        if self.accept_word("APPLY") {
            changes.extend(self.list(Self::apply_item)?);
        }
        if self.accept_word("SET") {
            changes.extend(self.list(|parser| parser.set_item(&[]))?.into_iter().flatten());
        }
        if self.accept_word("UNSET") {
            changes.extend(self.list(|parser| {
                let (path, place) = parser.field_path("the name of a field")?;
                Ok(Change { path, action: Action::Unset, place })
            })?);
        }
        if changes.is_empty() {
            return Err(self.unexpected("APPLY, SET or UNSET"));
        }
        for word in ["APPLY", "SET"] {
            if self.at_word(word) {
                return Err(self.unexpected("the next clause").hint("the order is APPLY, SET, UNSET"));
            }
        }
        let selection = self.selection(source)?;
        Ok(Update { directives, selection, changes, returning: self.returning()? })
    }

    fn apply_item(&mut self) -> Checked<Change> {
        let (path, place) = self.field_path("the name of a counter")?;
        let action = if self.accept_word("INCREMENT") {
            self.expect_word("BY")?;
            Action::Increment(self.expression()?)
        } else if self.accept_word("PN_INCREMENT") {
            self.expect_word("BY")?;
            Action::PnIncrement(self.expression()?)
        } else if self.accept_word("RESTART") {
            Action::Restart(if self.accept_word("WITH") { Some(self.expression()?) } else { None })
        } else {
            return Err(self.unexpected("INCREMENT BY, PN_INCREMENT BY or RESTART"));
        };
        Ok(Change { path, action, place })
    }

    /// `path = value`, or the older `path -> tombstone() | default() | (set_item, …)`, below `parent`.
    fn set_item(&mut self, parent: &[String]) -> Checked<Vec<Change>> {
        let (steps, place) = self.field_path("the name of a field")?;
        let path = [parent, &steps].concat();
        if self.accept_symbol("->") {
            if self.at_symbol("(") {
                return self.deeper(|parser| {
                    parser.take();
                    let changes = parser.list(|parser| parser.set_item(&path))?;
                    parser.expect_symbol(")")?;
                    Ok(changes.into_iter().flatten().collect())
                });
            }
            let action = if self.accept_word("TOMBSTONE") {
                Action::Unset
            } else if self.accept_word("DEFAULT") {
                Action::SetDefault
            } else {
                return Err(self.unexpected("tombstone(), default() or a list in parentheses"));
            };
            self.expect_symbol("(")?;
            self.expect_symbol(")")?;
            return Ok(vec![Change { path, action, place }]);
        }
        if !self.accept_symbol("=") {
            return Err(self.unexpected("'='"));
        }
        Ok(vec![Change { path, action: Action::Set(self.expression()?), place }])
    }

    /// WHERE and what follows it.
    fn selection(&mut self, source: Source) -> Checked<Selection> {
        let filter = self.filter()?;
        let Tail { order_by, limit, offset } = self.tail()?;
        Ok(Selection { source, filter, order_by, limit, offset })
    }

    pub(super) fn delete(&mut self, directives: Directives) -> Checked<Statement> {
        self.take();
        let selection = self.removal()?;
        Ok(Statement::Delete(Delete { directives, selection, returning: self.returning()? }))
    }

    pub(super) fn evict(&mut self, directives: Directives) -> Checked<Statement> {
        self.take();
        let selection = self.removal()?;
        Ok(Statement::Evict(Evict { directives, selection, returning: self.returning()? }))
    }

    fn removal(&mut self) -> Checked<Selection> {
        self.expect_word("FROM")?;
        let source = self.source()?;
        self.selection(source)
    }

    /// An expression up to the end of the statement, or the word DEFAULT alone.
    pub(super) fn value_or_default(&mut self) -> Checked<Option<Expr>> {
        if self.at_word("DEFAULT") && matches!(self.peek_second(), TokenKind::End | TokenKind::Symbol(";")) {
            self.take();
            return Ok(None);
        }
        self.expression().map(Some)
    }
}
