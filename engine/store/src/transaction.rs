//! Transactions of several statements.

use std::sync::{Arc, OnceLock};

use ditto_dql::Arguments;
use ditto_storage::Snapshot;

use crate::durability::Durability;
use crate::error::StoreError;
use crate::execute::{self, View};
use crate::result::QueryResult;
use crate::store::{Inner, Store};
use crate::write::WriteTransaction;

/// What a transaction may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionKind {
    /// Reads and writes; one at a time per store, in order of arrival.
    #[default]
    ReadWrite,
    /// Reads one moment; any number at a time, beside a writer.
    ReadOnly,
}

#[expect(clippy::large_enum_variant, reason = "there is one writer at a time")]
enum State {
    ReadWrite(WriteTransaction),
    ReadOnly(Box<dyn Snapshot>),
    Ended,
}

/// Several statements that happen together or not at all. Dropping it rolls it back.
///
/// Statements see what earlier ones of the same transaction wrote; nobody else does until the commit. A failed
/// statement has no effect and does not end the transaction.
pub struct Transaction {
    inner: Arc<Inner>,
    state: State,
    /// Shared with every result of this transaction.
    commit_id: Arc<OnceLock<u64>>,
}

impl Transaction {
    pub(crate) fn begin(store: &Store, kind: TransactionKind) -> Result<Self, StoreError> {
        let inner = Arc::clone(&store.inner);
        inner.check_open()?;
        let state = match kind {
            TransactionKind::ReadWrite => State::ReadWrite(inner.begin_write()?),
            TransactionKind::ReadOnly => State::ReadOnly(inner.storage.snapshot()),
        };
        Ok(Self { inner, state, commit_id: Arc::default() })
    }

    /// Runs one statement. Its result's [`QueryResult::committed_as`] is `None` until the transaction is
    /// committed.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::ReadOnly`] for mutating statements of a read-only transaction,
    /// [`StoreError::Context`] for statements about the store itself. The transaction goes on.
    pub fn execute<'a>(
        &mut self,
        text: &str,
        arguments: impl Into<Arguments<'a>>,
    ) -> Result<QueryResult, StoreError> {
        let arguments = arguments.into();
        let prepared = self.inner.statements.prepare(text)?;
        prepared.check(arguments)?;
        let statement = &prepared.statement;
        let mut result = match &mut self.state {
            State::Ended => return Err(StoreError::TransactionEnded),
            State::ReadOnly(_) if statement.is_mutation() => {
                return Err(StoreError::ReadOnly { statement: execute::statement_name(statement) });
            }
            State::ReadOnly(snapshot) => {
                execute::read(View::Snapshot(&self.inner, &**snapshot), &prepared, arguments)?
            }
            State::ReadWrite(transaction) if statement.is_mutation() => {
                let savepoint = transaction.savepoint();
                match execute::change(transaction, &prepared, arguments) {
                    Ok(effect) => {
                        transaction.release();
                        QueryResult {
                            rows: effect.rows,
                            mutated_ids: effect.mutated_ids,
                            ..QueryResult::default()
                        }
                    }
                    Err(error) => {
                        transaction.rollback_to(savepoint);
                        return Err(error);
                    }
                }
            }
            State::ReadWrite(transaction) => execute::read(View::Write(transaction), &prepared, arguments)?,
        };
        result.transaction = Some(Arc::clone(&self.commit_id));
        Ok(result)
    }

    /// Makes everything happen and answers with the commit id; `None` for a read-only transaction.
    ///
    /// # Errors
    /// [`StoreError::TransactionEnded`], [`StoreError::Storage`]; then nothing has happened.
    pub fn commit(&mut self) -> Result<Option<u64>, StoreError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => Err(StoreError::TransactionEnded),
            State::ReadOnly(_) => Ok(None),
            State::ReadWrite(transaction) => {
                let committed = transaction.commit()?;
                // Set once: the state is `Ended` from now on.
                let _ = self.commit_id.set(committed.commit_id);
                self.inner.deliver_commits();
                if self.inner.durability == Durability::Immediate {
                    self.inner.sync_to(committed.mark)?;
                }
                Ok(Some(committed.commit_id))
            }
        }
    }

    /// Forgets everything that was written. Does nothing after the end.
    pub fn rollback(&mut self) {
        self.state = State::Ended;
    }
}
