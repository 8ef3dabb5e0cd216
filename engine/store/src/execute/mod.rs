//! Running statements: which kind goes where, and what each may do.

mod access;
mod advise;
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
mod profile;
mod remove;
mod returning;
mod running;
mod scope;
mod select;
mod system;
mod update;
mod view;

use std::ops::ControlFlow;
use std::sync::Arc;

use ditto_dql::{Arguments, Expr, Select, Statement, StatementKind};
use ditto_value::{Object, Value, ValueRef};

pub(crate) use self::live::{LiveRows, is_maintainable};
pub(crate) use self::mutation::Effect;
pub(crate) use self::plan::{PlanCache, is_virtual, listed_ids};
use self::profile::Profile;
pub(crate) use self::running::Running;
pub(crate) use self::scope::{Scope, of_document};
use self::select::Window;
pub(crate) use self::view::View;
use crate::error::StoreError;
use crate::index;
use crate::lifecycle::{conflicts, evictions};
use crate::result::{QueryResult, Row};
use crate::statements::Prepared;
use crate::store::{Inner, Run, Store};
use crate::virtual_collections::{Rows, all_at_once};
use crate::write::WriteTransaction;
use crate::writer::{Holder, Turn};

/// Runs one statement, in a transaction of its own if it changes something.
pub(crate) fn execute(
    store: &Store,
    text: &str,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let inner = &store.inner;
    let prepared = prepare(inner, text, arguments)?;
    if !prepared.statement.is_mutation() {
        return observe(inner, text, &prepared, arguments);
    }
    change_alone(inner, inner.begin_write()?, text, &prepared, arguments)
}

/// As [`execute`]; `None` if it would have to wait for another writer.
pub(crate) fn try_execute(
    store: &Store,
    text: &str,
    arguments: Arguments<'_>,
) -> Result<Option<QueryResult>, StoreError> {
    let inner = &store.inner;
    let prepared = prepare(inner, text, arguments)?;
    if prepared.statement.is_mutation() {
        let transaction = inner.try_begin_write()?;
        return transaction
            .map(|transaction| change_alone(inner, transaction, text, &prepared, arguments))
            .transpose();
    }
    let has_work = match &prepared.statement {
        Statement::CreateIndex(create) => index::needs_writer_to_create(inner, create)?,
        Statement::DropIndex(drop) => index::needs_writer_to_drop(inner, drop)?,
        Statement::Advise { provision, .. } => *provision,
        Statement::AlterSystem(alter) => system::writes(inner, alter),
        _ => false,
    };
    if has_work {
        // It writes in many pieces: that nobody writes now does not mean that it would not wait.
        inner.writer.check_nested()?;
        return Ok(None);
    }
    observe(inner, text, &prepared, arguments).map(Some)
}

/// As [`execute`], without blocking this thread. `on_turn` gets what runs the statement, when it can be run.
pub(crate) fn execute_later(
    store: &Store,
    text: &str,
    arguments: Vec<u8>,
    on_turn: Box<dyn FnOnce(Run<'_>) + Send>,
) {
    fn bound(arguments: &[u8]) -> Arguments<'_> {
        ValueRef::from_stored(arguments).into()
    }
    let inner = Arc::clone(&store.inner);
    let prepared = match prepare(&inner, text, bound(&arguments)) {
        Ok(prepared) => prepared,
        Err(error) => return on_turn(Box::new(|| Err(error))),
    };
    let text = text.to_owned();
    if prepared.statement.is_mutation() {
        let turn_of = Arc::clone(&inner);
        let on_turn = move |turn: Turn| {
            let transaction = turn.map(|writer| WriteTransaction::new(Arc::clone(&inner), writer));
            on_turn(Box::new(|| change_alone(&inner, transaction?, &text, &prepared, bound(&arguments))));
        };
        return turn_of.writer.take_later(Holder::Statement, Box::new(on_turn));
    }
    let waits = match &prepared.statement {
        Statement::CreateIndex(_) | Statement::DropIndex(_) => true,
        Statement::Advise { provision, .. } => *provision,
        Statement::AlterSystem(alter) => system::writes(&inner, alter),
        _ => false,
    };
    if waits && let Err(error) = inner.writer.check_nested() {
        return on_turn(Box::new(|| Err(error)));
    }
    let executor = Arc::clone(&inner.executor);
    let run = move || on_turn(Box::new(|| observe(&inner, &text, &prepared, bound(&arguments))));
    if waits {
        // For many turns, like anybody who may block.
        executor.spawn(Box::new(run));
    } else {
        run();
    }
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
    text: &str,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let running = Running::begin(inner, text);
    let result = match administer(inner, &prepared.statement, text, arguments) {
        Ok(None) => read(View::Newest(inner), &running, prepared, arguments),
        Ok(Some(result)) => Ok(result),
        Err(error) => Err(error),
    };
    running.end(result)
}

/// Runs a statement that changes documents in a transaction of its own.
fn change_alone(
    inner: &Arc<Inner>,
    transaction: WriteTransaction,
    text: &str,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let running = Running::begin(inner, text);
    let result = change_and_commit(inner, transaction, &running, prepared, arguments);
    running.end(result)
}

fn change_and_commit(
    inner: &Arc<Inner>,
    mut transaction: WriteTransaction,
    running: &Running<'_>,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let effect = change(&mut transaction, running, prepared, arguments)?;
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
    running: &Running<'_>,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<QueryResult, StoreError> {
    let mut scope = scope(view.inner(), arguments);
    let profiled = profile::profiled(&prepared.statement);
    match profiled.unwrap_or(&prepared.statement) {
        Statement::Select(select) => {
            let request = prepared.request(view.inner(), scope.now_ms);
            scope.request = request.as_ref();
            scope.running = Some(running);
            scope.plans = Some(&prepared.plans);
            let profile = profiled.map(|statement| Profile::begin(view, &scope, running, statement));
            let profile = profile.transpose()?;
            let mut rows = select::select(view, &scope, select)?;
            rows.extend(profile.map(|profile| object_row(profile.end(rows.len(), 0))));
            Ok(QueryResult::of_rows(rows))
        }
        Statement::Explain(inner) => {
            let plan = explain::explain(view, &scope, inner)?;
            Ok(QueryResult::of_rows(vec![object_row(plan)]))
        }
        Statement::Advise { provision: false, statement } => {
            let advice = advise::advise(view, &scope, statement, running.text())?;
            Ok(QueryResult::of_rows(vec![object_row(advice.row())]))
        }
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

/// Whether LIMIT and OFFSET of a SELECT are what they can be.
pub(crate) fn check_window(inner: &Inner, select: &Select, arguments: &Object) -> Result<(), StoreError> {
    Window::new(select.limit.as_ref(), select.offset.as_ref(), &scope(inner, arguments)).map(drop)
}

/// Runs statements about the store itself; `None` for all others.
fn administer(
    inner: &Arc<Inner>,
    statement: &Statement,
    text: &str,
    arguments: Arguments<'_>,
) -> Result<Option<QueryResult>, StoreError> {
    let row = match statement {
        Statement::Advise { provision: true, statement } => {
            let scope = scope(inner, arguments);
            advise::advise(View::Newest(inner), &scope, statement, text)?.provision(inner)
        }
        Statement::Show(show) => system::show(&inner.parameters, show)?,
        Statement::AlterSystem(alter) => {
            let altered = system::alter(inner, alter, &scope(inner, arguments))?;
            let settings = inner.parameters.settings();
            inner.storage.set_cache_bytes(settings.record_cache);
            inner.statements.set_capacity(settings.statement_cache);
            inner.observers.memory.set_most(settings.observer_memory);
            inner.observers.call_poll_alarm();
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
    running: &Running<'_>,
    prepared: &Prepared,
    arguments: Arguments<'_>,
) -> Result<Effect, StoreError> {
    let (now_ms, settings) = (transaction.now_ms, transaction.inner.parameters.settings());
    let request = prepared.request(&transaction.inner, now_ms);
    let (request, plans) = (request.as_ref(), Some(&prepared.plans));
    let scope = Scope { arguments, now_ms, settings, request, plans, running: Some(running) };
    let profiled = profile::profiled(&prepared.statement);
    let profile =
        profiled.map(|statement| Profile::begin(View::Write(transaction), &scope, running, statement));
    let profile = profile.transpose()?;
    let mut effect = match profiled.unwrap_or(&prepared.statement) {
        Statement::Insert(statement) => insert::insert(transaction, &scope, statement),
        Statement::Update(statement) => update::update(transaction, &scope, statement),
        Statement::Delete(statement) => remove::delete(transaction, &scope, statement),
        Statement::Evict(statement) => remove::evict(transaction, &scope, statement),
        other => Err(not_allowed(other, "a transaction")),
    }?;
    if let Some(profile) = profile {
        let row = profile.end(effect.rows.len(), effect.mutated_ids.len());
        effect.rows.push(object_row(row));
    }
    Ok(effect)
}

pub(crate) fn scope<'a>(inner: &Inner, arguments: impl Into<Arguments<'a>>) -> Scope<'a> {
    let settings = inner.parameters.settings();
    let (arguments, now_ms) = (arguments.into(), inner.environment.now_ms());
    Scope { arguments, now_ms, settings, request: None, plans: None, running: None }
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
    type List = fn(&Inner) -> Vec<Object>;
    let register = |name: &str, tells: bool, list: List| {
        let inner = Arc::downgrade(&store.inner);
        let rows = move || inner.upgrade().map(|inner| list(&inner)).unwrap_or_default();
        store.inner.virtual_collections.register(name, all_at_once(rows), tells);
    };
    register("system:dual", true, |_| vec![Object::new()]);
    register("system:indexes", true, |inner| {
        inner.collections.all().iter().flat_map(|collection| system::index_rows(collection)).collect()
    });
    register(evictions::EVICTIONS, true, evictions::list);
    for name in ["system:collections", "__collections"] {
        register(name, false, |inner| {
            inner.collections.all().iter().map(|collection| system::collection_row(collection)).collect()
        });
    }
    let inner = Arc::downgrade(&store.inner);
    let conflicts: Rows = Arc::new(move |each| match inner.upgrade() {
        Some(inner) => conflicts::for_each_row(&inner, each),
        None => Ok(ControlFlow::Continue(())),
    });
    store.inner.virtual_collections.register(conflicts::CONFLICTS, conflicts, true);
}
