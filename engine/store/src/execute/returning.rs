//! RETURNING: rows of the affected documents.

use ditto_dql::{Context, GroupValues, Groups, Returning};
use ditto_storage::Bytes;
use ditto_value::ValueRef;

use super::scope::{Scope, of_document};
use super::select::{Projector, of_group};
use crate::result::Row;

/// Collects the rows of a RETURNING clause; without one, nothing.
pub(crate) struct Rows<'q> {
    clause: Option<(Projector<'q>, Option<Groups<'q>>)>,
    context: Context<'q>,
    rows: Vec<Row>,
}

impl<'q> Rows<'q> {
    pub(crate) fn new(returning: Option<&'q Returning>, alias: &'q str, scope: &Scope<'q>) -> Self {
        let clause = returning.map(|returning| {
            (Projector::new(&returning.projection, alias), returning.grouping.as_ref().map(Groups::new))
        });
        Self { clause, context: scope.context(), rows: Vec::new() }
    }

    pub(crate) fn wanted(&self) -> bool {
        self.clause.is_some()
    }

    /// Takes an affected document that lies somewhere in `holder`.
    pub(crate) fn accept(&mut self, holder: &Bytes, document: ValueRef<'_>) {
        match &mut self.clause {
            None => {}
            Some((_, Some(groups))) => groups.accept(&of_document(&self.context, document)),
            Some((projector, None)) => {
                self.rows.push(projector.document_row(&self.context, holder, document))
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<Row> {
        let Some((projector, Some(groups))) = self.clause else { return self.rows };
        let row = |group: &ditto_dql::Group| {
            let values = GroupValues { keys: &group.keys, aggregates: &group.aggregates };
            projector.row(&of_group(&self.context, values))
        };
        groups.finish().iter().map(row).collect()
    }
}
