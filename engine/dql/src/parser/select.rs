//! SELECT and the clauses it shares with mutations.

use crate::ast::Grouping;
use crate::ast::{
    Directives, Expr, Join, JoinKind, Path, Projection, ProjectionItem, Returning, Select, SortItem,
};
use crate::error::{Checked, Fault};
use crate::lexer::TokenKind;

use super::cursor::Parser;
use super::words;

/// ORDER BY, LIMIT and OFFSET.
#[derive(Default)]
pub(super) struct Tail {
    pub order_by: Vec<SortItem>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
}

impl Parser<'_> {
    /// From SELECT on.
    pub(super) fn select(&mut self, mut directives: Directives) -> Checked<Select> {
        self.expect_word("SELECT")?;
        self.more_directives(&mut directives)?;
        let distinct = self.at_word("DISTINCT");
        if distinct || self.at_word("ALL") {
            self.take();
        }
        let projection = self.projection()?;
        if !self.accept_word("FROM") {
            let fault = self.unexpected("',' or FROM");
            return Err(if matches!(self.peek(), TokenKind::End) {
                fault.hint("for constants, select from system:dual")
            } else {
                fault
            });
        }
        let source = self.source()?;
        if self.at_symbol(",") {
            return Err(self.unexpected("the next clause").hint("use JOIN … ON … for a second collection"));
        }
        let mut joins = Vec::new();
        while let Some(join) = self.join()? {
            joins.push(join);
        }
        let filter = self.filter()?;
        let keys = if self.accept_word("GROUP") {
            self.expect_word("BY")?;
            self.list(Self::expression)?
        } else {
            Vec::new()
        };
        let having = if self.accept_word("HAVING") { Some(self.expression()?) } else { None };
        let Tail { order_by, limit, offset } = self.tail()?;
        let grouping =
            (!keys.is_empty() || having.is_some()).then(|| Grouping { keys, aggregates: Vec::new() });
        Ok(Select {
            directives,
            distinct,
            projection,
            source,
            joins,
            filter,
            grouping,
            having,
            order_by,
            limit,
            offset,
        })
    }

    pub(super) fn filter(&mut self) -> Checked<Option<Expr>> {
        if self.accept_word("WHERE") { self.expression().map(Some) } else { Ok(None) }
    }

    /// ORDER BY, LIMIT and OFFSET, each at most once, in any order.
    pub(super) fn tail(&mut self) -> Checked<Tail> {
        let mut tail = Tail::default();
        loop {
            if tail.order_by.is_empty() && self.accept_word("ORDER") {
                self.expect_word("BY")?;
                tail.order_by = self.list(Self::sort_item)?;
            } else if tail.limit.is_none() && self.accept_word("LIMIT") {
                tail.limit = Some(self.expression()?);
            } else if tail.offset.is_none() && self.accept_word("OFFSET") {
                tail.offset = Some(self.expression()?);
            } else {
                return Ok(tail);
            }
        }
    }

    fn sort_item(&mut self) -> Checked<SortItem> {
        let expr = self.expression()?;
        let descending = self.accept_word("DESC") || {
            self.accept_word("ASC");
            false
        };
        Ok(SortItem { expr, descending })
    }

    pub(super) fn returning(&mut self) -> Checked<Option<Returning>> {
        if !self.accept_word("RETURNING") {
            return Ok(None);
        }
        if self.at_word("DISTINCT") && self.second_is_name() {
            return Err(self
                .unexpected("what the rows shall show")
                .hint("RETURNING shows every affected document, DISTINCT is not part of it"));
        }
        Ok(Some(Returning { projection: self.projection()?, grouping: None }))
    }

    fn projection(&mut self) -> Checked<Projection> {
        if self.at_symbol("*") {
            let place = self.place();
            self.take();
            if self.at_symbol(",") {
                return Err(Fault::semantics(place, "* cannot be combined with other items")
                    .hint("give the collection an alias and write alias.*"));
            }
            return Ok(Projection::All);
        }
        let mut position = 0;
        let items = self.list(|parser| {
            position += 1;
            parser.projection_item(position)
        })?;
        Ok(Projection::Items(items))
    }

    fn projection_item(&mut self, position: usize) -> Checked<ProjectionItem> {
        let place = self.place();
        if self.at_symbol("*") {
            return Err(Fault::semantics(place, "* cannot be combined with other items")
                .hint("give the collection an alias and write alias.*"));
        }
        let excludes = match self.peek_second() {
            TokenKind::Word(word) => !words::ends_expression(word),
            TokenKind::Quoted(_) => true,
            _ => false,
        };
        if self.at_word("MISSING") && excludes {
            self.take();
            let (steps, _) = self.field_path("the name of a field")?;
            return Ok(ProjectionItem::Exclude { steps, place });
        }
        let expr = self.expression()?;
        if let Expr::Path(Path { steps, .. }) = &expr
            && self.at_symbol(".")
        {
            let [name] = steps.as_slice() else {
                return Err(Fault::semantics(place, "only an alias can stand before .*"));
            };
            let name = name.clone();
            self.take();
            self.expect_symbol("*")?;
            return Ok(ProjectionItem::Members { source: 0, name, place });
        }
        let alias = self.alias()?;
        let aliased = alias.is_some();
        let name = match (alias, &expr) {
            (Some(alias), _) => alias,
            (None, Expr::Path(path)) => path.steps.last().cloned().unwrap_or_default(),
            (None, Expr::Member { name, .. }) => name.clone(),
            (None, _) => format!("(${position})"),
        };
        Ok(ProjectionItem::Value { expr, name, aliased, place })
    }

    fn join(&mut self) -> Checked<Option<Join>> {
        for word in ["CROSS", "FULL", "NATURAL", "UNNEST", "NEST"] {
            if self.at_word(word) {
                return Err(self
                    .unexpected("the next clause")
                    .hint(format!("{word} is not supported; use JOIN, LEFT JOIN or RIGHT JOIN")));
            }
        }
        let kind = if self.accept_word("INNER") {
            Some(JoinKind::Inner)
        } else if self.accept_word("LEFT") {
            self.accept_word("OUTER");
            Some(JoinKind::Left)
        } else if self.accept_word("RIGHT") {
            self.accept_word("OUTER");
            Some(JoinKind::Right)
        } else if self.at_word("JOIN") {
            Some(JoinKind::Inner)
        } else {
            None
        };
        let Some(kind) = kind else { return Ok(None) };
        self.expect_word("JOIN")?;
        let source = self.source()?;
        if !self.accept_word("ON") {
            let fault = self.unexpected("ON");
            return Err(if self.at_word("USING") {
                fault.hint("USING is not supported; use ON")
            } else {
                fault
            });
        }
        let on = self.expression()?;
        Ok(Some(Join { kind, source, on }))
    }
}
