//! UPDATE.

use std::cell::OnceCell;

use ditto_crdt::{DecodeError, Document, Kind, Path, Record, Sequence, Slot, Stamp, record};
use ditto_dql::{Action, Change, Context, Update};
use ditto_storage::Bytes;
use ditto_value::{Object, Value};

use super::mutation::{Effect, Target, check_size, id_of, targets};
use super::returning::Rows;
use super::scope::{Scope, Shape, of_document};
use crate::catalog::Collection;
use crate::error::{DataError, StoreError};
use crate::write::{NewRecord, WriteTransaction, parse_record};

/// Changes fields. All right-hand sides see the documents as they were.
pub(crate) fn update(
    transaction: &mut WriteTransaction,
    scope: &Scope<'_>,
    statement: &Update,
) -> Result<Effect, StoreError> {
    let source = &statement.selection.source;
    let targets = targets(transaction, scope, &statement.directives, &statement.selection)?;
    let mut rows = Rows::new(statement.returning.as_ref(), source.name(), scope);
    let mut mutated_ids = Vec::with_capacity(targets.len());
    let Some(collection) = transaction.collection(&source.collection.name) else {
        return Ok(Effect { rows: rows.finish(), mutated_ids });
    };
    let shape = Shape::new(source, scope.settings);
    let run = Run { scope, shape, changes: &statement.changes, paths: OnceCell::new() };
    if !run.assigns_only() {
        run.paths()?;
    }
    for target in targets {
        if let Some((id, record)) = run.apply(transaction, &collection, target)? {
            if rows.wanted() {
                run.shape.document(&record, |holder, document| {
                    rows.accept(holder, document);
                    Ok(())
                })?;
            }
            mutated_ids.push(id);
        }
    }
    Ok(Effect { rows: rows.finish(), mutated_ids })
}

struct Run<'a> {
    scope: &'a Scope<'a>,
    shape: Shape,
    changes: &'a [Change],
    /// Beside `changes`, once they are needed.
    paths: OnceCell<Vec<Path>>,
}

/// A change with its right-hand side evaluated.
enum Write {
    Set(Value),
    Unset,
    Increment(Kind, Value),
    Restart(i64),
}

impl Run<'_> {
    /// The `_id` and the new record; `None` if nothing was there to be changed.
    fn apply(
        &self,
        transaction: &mut WriteTransaction,
        collection: &std::sync::Arc<Collection>,
        target: Target,
    ) -> Result<Option<(Value, Bytes)>, StoreError> {
        let context = self.scope.context();
        let stored = parse_record(&target.record)?;
        let evaluated = self.shape.document_of(&stored, &target.record, |_, visible| {
            let context = of_document(&context, visible);
            let id = id_of(visible);
            let mut writes = Vec::with_capacity(self.changes.len());
            for change in self.changes {
                writes.push(self.evaluate(change, &context, &id)?);
            }
            Ok((writes, id))
        })?;
        let Some((writes, id)) = evaluated else { return Ok(None) };
        let stamp = transaction.stamp(stored.newest_stamp().map_err(corrupt)?)?;
        let sequence = transaction.sequence_of(&target.key);
        let record = match self.assign(&stored, &writes, stamp, sequence)? {
            Some(record) => record,
            None => {
                let mut document = stored.document().map_err(corrupt)?;
                let slot = Slot { run: transaction.counting(), began: document.began() };
                if !self.write(&mut document, &id, writes, slot, stamp, sequence)? {
                    return Ok(None);
                }
                record::encode(&document, &id)
            }
        };
        let record = Bytes::from(record);
        check_size(&id, Some(&target.record), &record, self.scope.settings)?;
        let new = NewRecord { record: record.clone(), was_alive: true, is_alive: true, origin: None };
        transaction.put(collection, target.key, Some(target.record), new);
        Ok(Some((id, record)))
    }

    /// The record after members at the top were assigned, which most statements do, without decoding the document.
    /// `None` if any of the writes is more than that.
    fn assign(
        &self,
        record: &Record<'_>,
        writes: &[Write],
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.assigns_only() {
            return Ok(None);
        }
        let mut assigned: Option<Vec<u8>> = None;
        for (change, write) in self.changes.iter().zip(writes) {
            let ([name], Write::Set(value)) = (change.path.as_slice(), write) else { return Ok(None) };
            let next = match &assigned {
                None => record.assign(name, value, stamp, sequence),
                Some(assigned) => parse_record(assigned)?.assign(name, value, stamp, sequence),
            };
            assigned = next.map_err(corrupt)?;
            if assigned.is_none() {
                return Ok(None);
            }
        }
        Ok(assigned)
    }

    /// Whether all changes are assignments to members at the top, of no declared kind.
    fn assigns_only(&self) -> bool {
        let is_assignment = |change: &Change| {
            change.path.len() == 1 && matches!(change.action, Action::Set(_) | Action::SetDefault)
        };
        self.shape.definitions.is_default() && self.changes.iter().all(is_assignment)
    }

    /// The paths of the changes.
    fn paths(&self) -> Result<&[Path], DataError> {
        if let Some(paths) = self.paths.get() {
            return Ok(paths);
        }
        let paths = self.changes.iter().map(|change| Path::new(change.path.iter().map(String::as_str)));
        let paths = paths.collect::<Result<_, _>>().map_err(|error| DataError::Write {
            id: "of the statement".to_string(),
            reason: error.to_string(),
        })?;
        Ok(self.paths.get_or_init(|| paths))
    }

    /// Whether anything was there to be changed.
    fn write(
        &self,
        document: &mut Document,
        id: &Value,
        writes: Vec<Write>,
        slot: Slot,
        stamp: Stamp,
        sequence: Sequence,
    ) -> Result<bool, StoreError> {
        let definitions = &self.shape.definitions;
        let mut changed = false;
        for (path, write) in self.paths()?.iter().zip(writes) {
            let result = match write {
                Write::Set(value) => document.set(path, &value, definitions, stamp, sequence).map(|()| true),
                Write::Unset => document.unset(path, definitions, stamp, sequence),
                Write::Increment(kind, by) => {
                    document.increment(path, kind, &by, slot, definitions, stamp, sequence).map(|()| true)
                }
                Write::Restart(with) => {
                    document.restart(path, with, definitions, stamp, sequence).map(|()| true)
                }
            };
            changed |=
                result.map_err(|error| DataError::Write { id: id.to_json(), reason: error.to_string() })?;
        }
        Ok(changed)
    }

    fn evaluate(&self, change: &Change, context: &Context<'_>, id: &Value) -> Result<Write, DataError> {
        let path = || change.path.join(".");
        match &change.action {
            Action::Set(expr) => match expr.evaluate(context).into_value() {
                Some(value) => Ok(Write::Set(value)),
                None => Err(DataError::MissingValue { path: path(), id: id.to_json() }),
            },
            Action::SetDefault => Ok(Write::Set(self.default_of(&change.path))),
            Action::Unset => Ok(Write::Unset),
            Action::Increment(by) => Ok(Write::Increment(
                Kind::Counter,
                integer(by.evaluate(context).into_value(), &path())?.into(),
            )),
            Action::PnIncrement(by) => {
                Ok(Write::Increment(Kind::PnCounter, number(by.evaluate(context).into_value(), &path())?))
            }
            Action::Restart(None) => Ok(Write::Restart(0)),
            Action::Restart(Some(with)) => {
                Ok(Write::Restart(integer(with.evaluate(context).into_value(), &path())?))
            }
        }
    }

    /// What `default()` stands for: an empty object for a MAP, null for anything else.
    fn default_of(&self, path: &[String]) -> Value {
        let Some((first, rest)) = path.split_first() else { return Value::Null };
        let mut definition = self.shape.definitions.get(first);
        for name in rest {
            definition = definition.and_then(|definition| definition.members.get(name));
        }
        match definition {
            Some(definition) if definition.kind == Kind::Map => Value::Object(Object::new()),
            _ => Value::Null,
        }
    }
}

fn corrupt(error: DecodeError) -> StoreError {
    StoreError::corrupt(error.to_string())
}

fn integer(value: Option<Value>, path: &str) -> Result<i64, DataError> {
    match value {
        Some(Value::Int(number)) => Ok(number),
        other => Err(not_countable(path, "an integer", other)),
    }
}

fn number(value: Option<Value>, path: &str) -> Result<Value, DataError> {
    match value {
        Some(value @ (Value::Int(_) | Value::UInt(_) | Value::Float(_))) => Ok(value),
        other => Err(not_countable(path, "a number", other)),
    }
}

fn not_countable(path: &str, expected: &'static str, found: Option<Value>) -> DataError {
    let found = found.map_or_else(|| "MISSING".to_string(), |value| value.to_json());
    DataError::Counter { path: path.to_string(), expected, found }
}
