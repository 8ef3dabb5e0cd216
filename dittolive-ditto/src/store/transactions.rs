//! Several statements that happen together or not at all: [`Store::transaction`](super::Store::transaction).

use std::{
    any::{Any, type_name},
    future::poll_fn,
    pin::pin,
    sync::Arc,
};

use serde::Serialize;

use crate::{
    dql::{IntoQuery, QueryResult},
    error::DittoError,
    ffi,
    instance::Instance,
    logger::{LogLevel, log},
};

/// How to begin a transaction.
///
/// ```
/// use dittolive_ditto::prelude::*;
///
/// let mut options = CreateTransactionOptions::new();
/// options.hint = Some("month's end");
/// options.is_read_only = true;
/// # let _ = options;
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateTransactionOptions<'hint> {
    /// Names the transaction in logs, and in the errors of those who waited for it in vain. At most 256 bytes of it
    /// are used there.
    pub hint: Option<&'hint str>,
    /// Only read: such transactions run side by side, and beside one that writes.
    pub is_read_only: bool,
}

impl CreateTransactionOptions<'_> {
    /// A transaction that reads and writes, without a hint.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What can be told of a transaction.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionInfo {
    /// No other transaction has it, on any device.
    pub id: String,
    /// As in the options.
    pub hint: Option<String>,
    /// As in the options.
    pub is_read_only: bool,
}

/// How a transaction ends, as the value of its scope.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "only as the value of the scope does it decide how the transaction ends"]
pub enum TransactionCompletionAction {
    /// Everything happens.
    Commit,
    /// Nothing happens.
    Rollback,
}

/// An open transaction, lent to the scope of [`Store::transaction`](super::Store::transaction).
///
/// It cannot leave the scope:
///
/// ```compile_fail
/// # use dittolive_ditto::prelude::*;
/// # async fn example(store: &Store) -> Result<(), DittoError> {
/// let escaped = store.transaction(async |transaction| Ok::<_, DittoError>(transaction)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Transaction {
    transaction: ffi::Transaction,
    hint: Option<String>,
    is_read_only: bool,
}

impl Transaction {
    async fn begin(
        instance: &Arc<Instance>,
        options: CreateTransactionOptions<'_>,
    ) -> Result<Self, DittoError> {
        let CreateTransactionOptions { hint, is_read_only } = options;
        let begun = instance.peer.begin_transaction(hint.unwrap_or_default(), is_read_only)?;
        Ok(Self { transaction: begun.await?, hint: hint.map(str::to_owned), is_read_only })
    }

    /// Its id, and what it was begun with.
    #[must_use]
    pub fn info(&self) -> TransactionInfo {
        let id = self.transaction.id().unwrap_or_else(|error| {
            log(LogLevel::Error, &format!("the id of a transaction cannot be read: {error}"));
            String::new()
        });
        TransactionInfo { id, hint: self.hint.clone(), is_read_only: self.is_read_only }
    }

    /// Runs a DQL statement in the transaction: it sees what earlier ones of the transaction wrote, and nobody else sees
    /// what it writes before the commit. One that fails has no effect, and the transaction may go on.
    ///
    /// [`QueryResult::commit_id`] of every result, reads included, is `None` until the transaction has committed and the
    /// id of that commit then.
    ///
    /// # Errors
    /// As [`Store::execute`](super::Store::execute), and:
    /// - `CoreApi(StoreTransactionReadOnly)`: the transaction is read-only and the statement is one that changes
    ///   documents, even if it would change none.
    /// - `CoreApi(DqlUnsupported)`: statements about the database itself, such as `ALTER SYSTEM`, are for outside.
    pub async fn execute<Q>(&self, query: Q) -> Result<QueryResult, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        let query = query.into_query()?;
        self.transaction.execute(query.text(), query.encoded_arguments()).map(QueryResult::new)
    }
}

/// [`Store::transaction_with_options`](super::Store::transaction_with_options).
pub(super) async fn run<T, E>(
    instance: &Arc<Instance>,
    options: CreateTransactionOptions<'_>,
    scope: impl AsyncFnOnce(&Transaction) -> Result<T, E>,
) -> Result<T, E>
where
    T: Any,
    E: From<DittoError>,
{
    let transaction = Transaction::begin(instance, options).await?;
    let value = {
        // What runs in here is inside, whichever thread polls it; what is polled beside it is not.
        let running = {
            let _inside = transaction.transaction.enter();
            scope(&transaction)
        };
        let mut running = pin!(running);
        poll_fn(|context| {
            let _inside = transaction.transaction.enter();
            running.as_mut().poll(context)
        })
        .await?
    };
    // An error has left already, and rolled back with the drop.
    match (&value as &dyn Any).downcast_ref() {
        Some(TransactionCompletionAction::Rollback) => {}
        Some(TransactionCompletionAction::Commit) => transaction.transaction.commit()?,
        None => {
            if cfg!(debug_assertions) && type_name::<T>().contains(type_name::<TransactionCompletionAction>())
            {
                log(
                    LogLevel::Warning,
                    &format!(
                        "a transaction commits although its value, a `{}`, holds a TransactionCompletionAction: only \
                         the action by itself decides",
                        type_name::<T>()
                    ),
                );
            }
            transaction.transaction.commit()?;
        }
    }
    Ok(value)
}
