//! Running statements: which kind goes where, and what each may do.

mod access;
mod edges;
mod explain;
mod found;
mod gathered;
mod index_rows;
mod index_scan;
mod insert;
mod live;
mod mutation;
mod order;
mod plan;
mod remove;
mod returning;
mod scope;
mod select;
mod system;
mod update;
mod view;

use std::sync::Arc;

use ditto_dql::{Arguments, Expr, Select, Statement, StatementKind};
use ditto_value::{Object, Value, ValueRef};

pub(crate) use self::live::{LiveRows, is_maintainable};
pub(crate) use self::mutation::Effect;
pub(crate) use self::plan::{PlanCache, listed_ids};
pub(crate) use self::scope::{Scope, of_document};
pub(crate) use self::view::View;
use crate::error::StoreError;
use crate::index;
use crate::lifecycle::{conflicts, evictions};
use crate::result::{QueryResult, Row};
use crate::statements::Prepared;
use crate::store::{Inner, Store};
use crate::write::WriteTransaction;

/// Runs one statement, in a transaction of its own if it changes something.
pub(crate) fn execute(
    store: &Store,
    text: &str,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let inner = &store.inner;
    let prepared = prepare(inner, text, arguments)?;
    if !prepared.statement.is_mutation() {
        return observe(inner, &prepared, arguments);
    }
    change_alone(inner, inner.begin_write()?, &prepared, arguments)
}

/// As [`execute`]; `None` if it would have to wait for another writer.
pub(crate) fn try_execute(
    store: &Store,
    text: &str,
    arguments: Arguments<'_>,
) -> Result<Option<QueryResult>, StoreError> {
    let inner = &store.inner;
    let prepared = prepare(inner, text, arguments)?;
    if !prepared.statement.is_mutation() {
        return observe(inner, &prepared, arguments).map(Some);
    }
    let transaction = inner.try_begin_write()?;
    transaction.map(|transaction| change_alone(inner, transaction, &prepared, arguments)).transpose()
}

fn prepare(inner: &Inner, text: &str, arguments: Arguments<'_>) -> Result<Arc<Prepared>, StoreError> {
    inner.check_open()?;
    let prepared = inner.statements.prepare(text)?;
    prepared.check(arguments)?;
    Ok(prepared)
}

/// Runs a statement that changes no documents.
fn observe(
    inner: &Arc<Inner>,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    match administer(inner, &prepared.statement, arguments)? {
        Some(result) => Ok(result),
        None => read(View::Newest(inner), prepared, arguments),
    }
}

/// Runs a statement that changes documents in a transaction of its own.
fn change_alone(
    inner: &Arc<Inner>,
    mut transaction: WriteTransaction,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let effect = change(&mut transaction, prepared, arguments)?;
    let committed = transaction.commit()?;
    inner.deliver_commits();
    inner.settle(committed.mark)?;
    Ok(QueryResult {
        rows: effect.rows,
        mutated_ids: effect.mutated_ids,
        commit_id: Some(committed.commit_id),
        transaction: None,
    })
}

/// Runs a statement that reads documents.
pub(crate) fn read(
    view: View<'_>,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    match &prepared.statement {
        Statement::Select(select) => {
            let mut scope = scope(view.inner(), arguments);
            let request = prepared.request(view.inner(), scope.now_ms);
            scope.request = request.as_ref();
            scope.plans = Some(&prepared.plans);
            let rows = select::select(view, &scope, select)?;
            Ok(QueryResult::of_rows(rows))
        }
        Statement::Explain(inner) => {
            let plan = explain::explain(view, &scope(view.inner(), arguments), inner)?;
            Ok(QueryResult::of_rows(vec![object_row(plan)]))
        }
        Statement::Profile(_) => Err(StoreError::unsupported("PROFILE")),
        Statement::Advise { .. } => Err(StoreError::unsupported("ADVISE")),
        other => Err(not_allowed(other, "a transaction")),
    }
}

/// The rows of a SELECT in the state of `view`.
pub(crate) fn select_rows(
    view: View<'_>,
    select: &Select,
    arguments: &Object,
) -> Result<Vec<Row>, StoreError> {
    select::select(view, &scope(view.inner(), arguments), select)
}

/// Runs statements about the store itself; `None` for all others.
fn administer(
    inner: &Arc<Inner>,
    statement: &Statement,
    arguments: Arguments<'_>,
) -> Result<Option<QueryResult>, StoreError> {
    let row = match statement {
        Statement::Show(show) => system::show(&inner.parameters, show)?,
        Statement::AlterSystem(alter) => {
            let altered = system::alter(&inner.parameters, alter, &scope(inner, arguments))?;
            inner.storage.set_cache_bytes(inner.parameters.settings().record_cache);
            altered
        }
        Statement::CreateIndex(create) => {
            index::create(inner, create)?;
            return Ok(Some(QueryResult::default()));
        }
        Statement::DropIndex(drop) => {
            index::drop_index(inner, drop)?;
            return Ok(Some(QueryResult::default()));
        }
        _ => return Ok(None),
    };
    Ok(Some(QueryResult::of_rows(vec![object_row(row)])))
}

/// Runs a statement that changes documents. After an error the transaction holds a part of the changes.
pub(crate) fn change(
    transaction: &mut WriteTransaction,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<Effect, StoreError> {
    let (now_ms, settings) = (transaction.now_ms, transaction.inner.parameters.settings());
    let request = prepared.request(&transaction.inner, now_ms);
    let scope =
        Scope { arguments, now_ms, settings, request: request.as_ref(), plans: Some(&prepared.plans) };
    match &prepared.statement {
        Statement::Insert(statement) => insert::insert(transaction, &scope, statement),
        Statement::Update(statement) => update::update(transaction, &scope, statement),
        Statement::Delete(statement) => remove::delete(transaction, &scope, statement),
        Statement::Evict(statement) => remove::evict(transaction, &scope, statement),
        Statement::Profile(_) => Err(StoreError::unsupported("PROFILE")),
        other => Err(not_allowed(other, "a transaction")),
    }
}

pub(crate) fn scope<'a>(inner: &Inner, arguments: impl Into<Arguments<'a>>) -> Scope<'a> {
    let settings = inner.parameters.settings();
    Scope {
        arguments: arguments.into(),
        now_ms: inner.environment.now_ms(),
        settings,
        request: None,
        plans: None,
    }
}

fn object_row(row: Object) -> Row {
    Row::new(Value::Object(row).encode())
}

/// The name of a statement in an error message.
pub(crate) fn statement_name(statement: &Statement) -> &'static str {
    match statement.kind() {
        StatementKind::Select => "SELECT",
        StatementKind::Insert => "INSERT",
        StatementKind::Update => "UPDATE",
        StatementKind::Delete => "DELETE",
        StatementKind::Evict => "EVICT",
        StatementKind::Explain => "EXPLAIN",
        StatementKind::Profile => "PROFILE",
        StatementKind::Advise => "ADVISE",
        StatementKind::Show => "SHOW",
        StatementKind::AlterSystem => "ALTER SYSTEM",
        StatementKind::CreateIndex => "CREATE INDEX",
        StatementKind::DropIndex => "DROP INDEX",
    }
}

/// The error for a statement in the wrong place.
pub(crate) fn not_allowed(statement: &Statement, context: &'static str) -> StoreError {
    let hint = match context {
        "a transaction" => ": run it outside",
        "an observer" => ": observers take SELECT",
        _ => "",
    };
    StoreError::Context { statement: statement_name(statement).to_string(), context, hint }
}

/// A filter compiled for one collection, to be asked about single documents.
pub(crate) fn accepts(filter: Option<&Expr>, scope: &Scope<'_>, document: ValueRef<'_>) -> bool {
    filter.is_none_or(|filter| filter.accepts(&of_document(&scope.context(), document)))
}

/// The virtual collections that the store itself offers.
pub(crate) fn register_builtin_collections(store: &Store) {
    store.register_virtual_collection("system:dual", Arc::new(|| vec![Object::new()]));
    let inner = Arc::downgrade(&store.inner);
    store.register_virtual_collection(
        "system:indexes",
        Arc::new(move || {
            let Some(inner) = inner.upgrade() else { return Vec::new() };
            inner.collections.all().iter().flat_map(|collection| system::index_rows(collection)).collect()
        }),
    );
    type List = fn(&Inner) -> Vec<Object>;
    for (name, list) in
        [(conflicts::CONFLICTS, conflicts::list as List), (evictions::EVICTIONS, evictions::list)]
    {
        let inner = Arc::downgrade(&store.inner);
        let rows = move || inner.upgrade().map(|inner| list(&inner)).unwrap_or_default();
        store.register_virtual_collection(name, Arc::new(rows));
    }
    for name in ["system:collections", "__collections"] {
        let inner = Arc::downgrade(&store.inner);
        store.register_virtual_collection(
            name,
            Arc::new(move || {
                let Some(inner) = inner.upgrade() else { return Vec::new() };
                inner.collections.statistics().iter().map(collection_row).collect()
            }),
        );
    }
}

fn collection_row(statistics: &crate::CollectionStatistics) -> Object {
    Object::from([
        ("_id", Value::from(&*statistics.name)),
        ("name", Value::from(&*statistics.name)),
        ("documents", Value::from(statistics.documents)),
    ])
}
