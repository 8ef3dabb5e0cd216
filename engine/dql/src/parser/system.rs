//! Statements about the store itself: indexes and system parameters.

use crate::ast::{AlterSystem, CreateIndex, DropIndex, IndexKey, NamePattern, Show};
use crate::error::Checked;
use crate::lexer::TokenKind;

use super::cursor::Parser;

impl Parser<'_> {
    pub(super) fn create_index(&mut self) -> Checked<CreateIndex> {
        self.expect_word("CREATE")?;
        self.expect_word("INDEX")?;
        let if_not_exists = self.at_word("IF") && self.second_is_word("NOT");
        if if_not_exists {
            self.take();
            self.expect_word("NOT")?;
            self.expect_word("EXISTS")?;
        }
        let name = self.name("the name of the index")?;
        self.expect_word("ON")?;
        let collection = self.collection()?;
        self.expect_symbol("(")?;
        let keys = self.list(|parser| {
            let (path, _) = parser.field_path("the name of a field")?;
            if parser.at_symbol("(") {
                return Err(parser.unexpected("',' or ')'").hint("index keys are fields, not expressions"));
            }
            let descending = parser.accept_word("DESC") || {
                parser.accept_word("ASC");
                false
            };
            Ok(IndexKey { path, descending })
        })?;
        self.expect_symbol(")")?;
        if self.at_word("WHERE") {
            return Err(self
                .unexpected("the end of the statement")
                .hint("partial indexes are not supported"));
        }
        Ok(CreateIndex { name, collection, keys, if_not_exists })
    }

    pub(super) fn drop_index(&mut self) -> Checked<DropIndex> {
        self.expect_word("DROP")?;
        self.expect_word("INDEX")?;
        let if_exists = self.accept_words("IF", "EXISTS");
        let name = self.name("the name of the index")?;
        if !self.accept_word("ON") {
            return Err(self
                .unexpected("ON")
                .hint("an index belongs to a collection: DROP INDEX name ON collection"));
        }
        Ok(DropIndex { name, collection: self.collection()?, if_exists })
    }

    pub(super) fn show(&mut self) -> Checked<Show> {
        self.expect_word("SHOW")?;
        if !self.accept_word("ALL") {
            return Ok(Show::Parameter(self.name("the name of a system parameter, or ALL")?));
        }
        let ignore_case = self.at_word("ILIKE");
        if !ignore_case && !self.at_word("LIKE") {
            return Ok(Show::All(None));
        }
        self.take();
        let TokenKind::Text(pattern) = self.peek() else {
            return Err(self.unexpected("a pattern in quotes"));
        };
        let pattern = pattern.clone();
        self.take();
        Ok(Show::All(Some(NamePattern { pattern, ignore_case })))
    }

    pub(super) fn alter_system(&mut self) -> Checked<AlterSystem> {
        const WANTED: &str = "the name of a system parameter";
        self.expect_word("ALTER")?;
        self.expect_word("SYSTEM")?;
        if self.accept_word("RESET") {
            return Ok(if self.accept_word("ALL") {
                AlterSystem::ResetAll
            } else {
                AlterSystem::Reset(self.name(WANTED)?)
            });
        }
        if !self.accept_word("SET") {
            return Err(self.unexpected("SET or RESET"));
        }
        let name = self.name(WANTED)?;
        if !self.accept_symbol("=") && !self.accept_word("TO") {
            return Err(self.unexpected("'=' or TO"));
        }
        Ok(match self.value_or_default()? {
            Some(value) => AlterSystem::Set { name, value },
            None => AlterSystem::Reset(name),
        })
    }
}
