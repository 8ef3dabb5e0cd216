//! Transactions: all or nothing, one writer at a time, and no waiting for oneself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{
    future::{Future, poll_fn},
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{channel, sync_channel},
    },
    task::{Context, Poll, Waker},
    thread,
};

use dittolive_ditto::{
    error::{CoreApiErrorKind, ErrorKind},
    prelude::*,
};
use futures::{channel::oneshot, executor::block_on, future};
use serde_json::json;

use self::support::{Peer, next, rows, wait_for};

const ALL: &str = "SELECT * FROM c ORDER BY _id";
const NESTED: ErrorKind = ErrorKind::CoreApi(CoreApiErrorKind::StoreTransactionNested);

/// What went wrong, in a type of the application.
#[derive(Debug)]
enum OwnError {
    Ditto(DittoError),
    Mine(u8),
}

impl From<DittoError> for OwnError {
    fn from(error: DittoError) -> Self {
        Self::Ditto(error)
    }
}

fn read_only() -> CreateTransactionOptions<'static> {
    let mut options = CreateTransactionOptions::new();
    options.is_read_only = true;
    options
}

/// Lets others run once.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_scope_that_returns_a_value_commits_and_the_value_is_passed_through() {
    let peer = Peer::new();
    let value = block_on(peer.ditto.store().transaction(async |transaction| {
        let insert = ("INSERT INTO c DOCUMENTS (:d)", json!({"d": [{"_id": 1}, {"_id": 2}]}));
        transaction.execute(insert).await?;
        // Own writes are visible, to the transaction only.
        assert_eq!(rows(&transaction.execute(ALL).await?), [r#"{"_id":1}"#, r#"{"_id":2}"#]);
        assert_eq!(peer.ditto.store().execute(ALL).await?.item_count(), 0);
        Ok::<_, DittoError>("value")
    }));
    assert_eq!(value.unwrap(), "value");
    assert_eq!(peer.rows(ALL).len(), 2);
}

#[test]
fn the_completion_action_decides() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let scope = async |action: TransactionCompletionAction| {
        let run = async |transaction: &Transaction| {
            transaction.execute("INSERT INTO c DOCUMENTS ({'x': 1})").await?;
            Ok::<_, DittoError>(action.clone())
        };
        store.transaction(run).await.unwrap()
    };
    assert_eq!(block_on(scope(TransactionCompletionAction::Commit)), TransactionCompletionAction::Commit);
    assert_eq!(peer.rows(ALL).len(), 1);
    assert_eq!(block_on(scope(TransactionCompletionAction::Rollback)), TransactionCompletionAction::Rollback);
    assert_eq!(peer.rows(ALL).len(), 1);
}

#[test]
fn only_the_action_by_itself_decides() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let insert = "INSERT INTO c DOCUMENTS ({'x': 1})";
    let in_a_tuple = store.transaction(async |transaction| {
        transaction.execute(insert).await?;
        Ok::<_, DittoError>((TransactionCompletionAction::Rollback, 1))
    });
    assert_eq!(block_on(in_a_tuple).unwrap().1, 1);
    let referred_to = store.transaction(async |transaction| {
        transaction.execute(insert).await?;
        Ok::<_, DittoError>(&TransactionCompletionAction::Rollback)
    });
    assert_eq!(block_on(referred_to).unwrap(), &TransactionCompletionAction::Rollback);
    assert_eq!(peer.rows(ALL).len(), 2);
}

#[test]
fn an_error_in_the_scope_rolls_back_and_comes_out_as_it_is() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let own = store.transaction(async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        Err::<(), _>(OwnError::Mine(7))
    });
    assert!(matches!(block_on(own), Err(OwnError::Mine(7))));
    let statement = store.transaction(async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        transaction.execute("SELEC").await?;
        Ok::<_, OwnError>(())
    });
    let Err(OwnError::Ditto(error)) = block_on(statement) else { panic!("the statement is none") };
    assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::DqlQueryCompilation));
    assert_eq!(peer.rows(ALL), [""; 0]);
}

#[test]
fn a_statement_that_fails_does_not_end_the_transaction() {
    let peer = Peer::new();
    let ended = peer.ditto.store().transaction(async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        let error =
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 2}), ({'_id': 1})").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::DqlEvaluationError), "{error}");
        for outside in ["ALTER SYSTEM SET dql_strict_mode = true", "SHOW ALL"] {
            let error = transaction.execute(outside).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::DqlUnsupported), "{error}");
        }
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 3})").await?;
        Ok::<_, DittoError>(())
    });
    block_on(ended).unwrap();
    assert_eq!(peer.rows(ALL), [r#"{"_id":1}"#, r#"{"_id":3}"#]);
}

#[test]
fn a_panic_in_the_scope_rolls_back() {
    let peer = Peer::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        block_on(peer.ditto.store().transaction(async |transaction| {
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
            assert_eq!(transaction.execute(ALL).await?.item_count(), 2, "the application panics");
            Ok::<_, DittoError>(())
        }))
    }));
    assert!(outcome.is_err());
    assert_eq!(peer.rows(ALL), [""; 0]);
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 2})");
}

#[test]
fn dropping_the_future_rolls_back() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let (never, is_never) = oneshot::channel::<()>();
    {
        let mut first = pin!(store.transaction(async |transaction| {
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
            is_never.await.ok();
            Ok::<_, DittoError>(())
        }));
        let mut waiting = Box::pin(store.transaction(async |_| Ok::<_, DittoError>(())));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        // One that has not begun leaves the queue, whoever is at work.
        drop(waiting);
        assert!(first.as_mut().poll(&mut context).is_pending());
    }
    drop(never);
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 2})");
    assert_eq!(peer.rows(ALL), [r#"{"_id":2}"#]);
}

#[test]
fn two_scopes_that_write_do_not_interleave_even_in_one_task() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let inside = AtomicUsize::new(0);
    let scope = async |name: &str| {
        let run = async |transaction: &Transaction| {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "somebody else is inside");
            for _ in 0..5 {
                let insert = ("INSERT INTO c DOCUMENTS (:d)", json!({"d": {"by": name}}));
                transaction.execute(insert).await?;
                pause().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, DittoError>(())
        };
        store.transaction(run).await.unwrap();
    };
    block_on(future::join4(scope("a"), scope("b"), scope("c"), scope("d")));
    assert_eq!(peer.rows(ALL).len(), 20);
}

#[test]
fn a_plain_write_waits_for_a_transaction_without_blocking_the_thread() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let order = Mutex::new(Vec::new());
    let (go_on, gate) = oneshot::channel::<()>();
    let transaction = async {
        let run = async |transaction: &Transaction| {
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
            gate.await.ok();
            order.lock().unwrap().push("transaction");
            Ok::<_, DittoError>(())
        };
        store.transaction(run).await.unwrap();
    };
    let plain = async {
        let result = store.execute("UPDATE c SET x = 1").await.unwrap();
        order.lock().unwrap().push("plain");
        assert_eq!(result.mutated_document_ids().len(), 1, "it sees what the transaction wrote");
        assert!(result.commit_id().is_some());
    };
    let reader = async {
        assert_eq!(store.execute(ALL).await.unwrap().item_count(), 0);
        order.lock().unwrap().push("reader");
        go_on.send(()).unwrap();
    };
    block_on(future::join3(transaction, plain, reader));
    assert_eq!(*order.lock().unwrap(), ["reader", "transaction", "plain"]);
    assert_eq!(peer.rows(ALL), [r#"{"_id":1,"x":1}"#]);
}

#[test]
fn statements_on_indexes_wait_for_a_transaction_without_blocking_the_thread() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1, 'a': 1})");
    for statement in ["CREATE INDEX by_a ON c (a)", "DROP INDEX by_a ON c"] {
        let order = Mutex::new(Vec::new());
        let transaction = async {
            let run = async |transaction: &Transaction| {
                transaction.execute("UPDATE c SET a = a + 1").await?;
                // A statement that blocked the thread would keep this from going on.
                for _ in 0..3 {
                    pause().await;
                }
                let error = store.execute(statement).await.unwrap_err();
                assert_eq!(error.kind(), NESTED);
                order.lock().unwrap().push("transaction");
                Ok::<_, DittoError>(())
            };
            store.transaction(run).await.unwrap();
        };
        let plain = async {
            store.execute(statement).await.unwrap();
            order.lock().unwrap().push("plain");
        };
        block_on(future::join(transaction, plain));
        assert_eq!(*order.lock().unwrap(), ["transaction", "plain"]);
    }
    assert_eq!(peer.rows("SELECT * FROM system:indexes"), [""; 0]);
}

#[test]
fn a_statement_that_waits_is_in_nobodys_way_when_nobody_polls_it() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let (go_on, gate) = oneshot::channel::<()>();
    let mut transaction = pin!(store.transaction(async |_| {
        gate.await.ok();
        Ok::<_, DittoError>(())
    }));
    let mut context = Context::from_waker(Waker::noop());
    assert!(transaction.as_mut().poll(&mut context).is_pending());
    let mut unpolled = pin!(store.execute("INSERT INTO c DOCUMENTS ({'_id': 1})"));
    assert!(unpolled.as_mut().poll(&mut context).is_pending());
    let mut dropped = Box::pin(store.execute("INSERT INTO c DOCUMENTS ({'_id': 2})"));
    assert!(dropped.as_mut().poll(&mut context).is_pending());
    drop(dropped);
    go_on.send(()).unwrap();
    block_on(transaction).unwrap();
    // Comes after the one that has not been polled since.
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 3})");
    assert_eq!(peer.rows(ALL), [r#"{"_id":1}"#, r#"{"_id":3}"#]);
    block_on(unpolled).unwrap();
}

#[test]
fn scopes_that_read_run_side_by_side_each_on_its_moment() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 1})");
    let (to_second, from_first) = oneshot::channel();
    let (to_first, from_second) = oneshot::channel();
    let first = store.transaction_with_options(read_only(), async |transaction| {
        to_second.send(()).unwrap();
        from_second.await.unwrap();
        Ok::<_, DittoError>(transaction.execute(ALL).await?.item_count())
    });
    let second = store.transaction_with_options(read_only(), async |transaction| {
        from_first.await.unwrap();
        // Beside both of them somebody writes.
        store.execute("INSERT INTO c DOCUMENTS ({'_id': 2})").await?;
        to_first.send(()).unwrap();
        Ok::<_, DittoError>(transaction.execute(ALL).await?.item_count())
    });
    let (first, second) = block_on(future::join(first, second));
    assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    assert_eq!(peer.rows(ALL).len(), 2);
}

#[test]
fn a_scope_that_reads_cannot_write_not_even_nothing() {
    let peer = Peer::new();
    let run = peer.ditto.store().transaction_with_options(read_only(), async |transaction| {
        assert!(transaction.info().is_read_only);
        for statement in ["DELETE FROM c WHERE false", "INSERT INTO c DOCUMENTS ({})", "EVICT FROM c"] {
            let error = transaction.execute(statement).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::StoreTransactionReadOnly));
        }
        let result = transaction.execute(ALL).await?;
        Ok::<_, DittoError>(result)
    });
    assert_eq!(block_on(run).unwrap().commit_id(), None);
}

#[test]
fn what_would_wait_for_itself_is_an_error() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let mut options = CreateTransactionOptions::new();
    options.hint = Some("outer");
    let outer = store.transaction_with_options(options, async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        let error = store.execute("DELETE FROM c").await.unwrap_err();
        assert_eq!(error.kind(), NESTED);
        assert!(error.to_string().contains("\"outer\""), "{error}");
        pause().await;
        let nested = store.transaction(async |_| Ok::<_, DittoError>(())).await;
        assert_eq!(nested.unwrap_err().kind(), NESTED);
        // In a future that the scope drives beside its own code, too.
        let (one, other) = future::join(store.execute("DELETE FROM c"), pause()).await;
        assert_eq!((one.unwrap_err().kind(), other), (NESTED, ()));
        // Reading beside it is fine.
        let inner = store.transaction_with_options(read_only(), async |inner| {
            Ok::<_, DittoError>(inner.execute(ALL).await?.item_count())
        });
        assert_eq!(inner.await?, 0);
        assert_eq!(store.execute(ALL).await?.item_count(), 0);
        Ok::<_, DittoError>(())
    });
    block_on(outer).unwrap();
    // And the other way around, with a writer inside of a reader.
    let outer = store.transaction_with_options(read_only(), async |outer| {
        store.execute("INSERT INTO c DOCUMENTS ({'_id': 2})").await?;
        let inner = store.transaction(async |inner| {
            inner.execute("INSERT INTO c DOCUMENTS ({'_id': 3})").await?;
            Ok::<_, DittoError>(())
        });
        inner.await?;
        Ok::<_, DittoError>(outer.execute(ALL).await?.item_count())
    });
    assert_eq!(block_on(outer).unwrap(), 1);
    assert_eq!(peer.rows(ALL).len(), 3);
}

#[test]
fn who_waits_for_a_scope_that_waits_for_it_gives_up_after_a_while() {
    let peer = Peer::new();
    peer.execute("ALTER SYSTEM SET transaction_wait_timeout_ms = 1");
    let store = peer.ditto.store();
    let mut options = CreateTransactionOptions::new();
    options.hint = Some("waits for the other");
    let outer = store.transaction_with_options(options, async |transaction| {
        let other = store.clone();
        let (sender, result) = oneshot::channel();
        thread::spawn(move || {
            sender.send(block_on(other.execute("INSERT INTO c DOCUMENTS ({'_id': 1})")).map(drop))
        });
        let error = result.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::StoreTransactionTimeout));
        assert!(error.to_string().contains("waits for the other"), "{error}");
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 2})").await?;
        Ok::<_, DittoError>(())
    });
    block_on(outer).unwrap();
    assert_eq!(peer.rows(ALL), [r#"{"_id":2}"#]);
}

#[test]
fn results_know_the_commit_once_there_is_one() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let results = block_on(store.transaction(async |transaction| {
        let read = transaction.execute(ALL).await?;
        let first = transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        let second = transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 2})").await?;
        let results = [read, first, second];
        assert!(results.iter().all(|result| result.commit_id().is_none()));
        Ok::<_, DittoError>(results)
    }))
    .unwrap();
    let ids: Vec<Option<NonZeroU64>> = results.iter().map(|result| result.commit_id()).collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let after = peer.execute("INSERT INTO c DOCUMENTS ({'_id': 3})");
    assert!(after.commit_id() > ids[0]);

    let kept = Mutex::new(None);
    let rolled_back = store.transaction(async |transaction| {
        let result = transaction.execute("DELETE FROM c").await?;
        assert_eq!(result.mutated_document_ids().len(), 3);
        *kept.lock().unwrap() = Some(result);
        Ok::<_, DittoError>(TransactionCompletionAction::Rollback)
    });
    assert_eq!(block_on(rolled_back).unwrap(), TransactionCompletionAction::Rollback);
    assert_eq!(kept.lock().unwrap().as_ref().unwrap().commit_id(), None);
}

#[test]
fn observers_see_a_transaction_once_and_whole() {
    let peer = Peer::new();
    let (sender, counts) = channel();
    let _observer = peer
        .ditto
        .store()
        .register_observer("SELECT * FROM c", move |result| {
            sender.send(result.item_count()).ok();
        })
        .unwrap();
    assert_eq!(next(&counts), 0);
    let store = peer.ditto.store();
    let insert = |number: u32| {
        store.transaction(async move |transaction| {
            for each in 0..10 {
                let insert = ("INSERT INTO c DOCUMENTS (:d)", json!({"d": {"_id": number * 10 + each}}));
                transaction.execute(insert).await?;
            }
            Ok::<_, DittoError>(())
        })
    };
    for number in 0..20 {
        block_on(insert(number)).unwrap();
    }
    let last = wait_for(&counts, |count| {
        assert_eq!(count % 10, 0, "half a transaction was seen");
        *count == 200
    });
    assert_eq!(last, 200);
    // One that is rolled back is not seen at all; the next one is.
    let rolled_back = store.transaction(async |transaction| {
        transaction.execute("DELETE FROM c").await?;
        Ok::<_, DittoError>(TransactionCompletionAction::Rollback)
    });
    assert_eq!(block_on(rolled_back).unwrap(), TransactionCompletionAction::Rollback);
    block_on(insert(20)).unwrap();
    assert_eq!(next(&counts), 210);
}

#[test]
fn thousands_of_small_transactions_from_several_threads() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let peer = Peer::new();
    peer.execute("INSERT INTO c DOCUMENTS ({'_id': 'sum', 'n': 0})");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let store = peer.ditto.store();
                for number in 0..EACH {
                    let run = store.transaction(async |transaction| {
                        let read = transaction.execute("SELECT n FROM c WHERE _id = 'sum'").await?;
                        let n: u64 = read.get_item(0).unwrap().deserialize_value::<Count>()?.n;
                        let update = ("UPDATE c SET n = :n WHERE _id = 'sum'", json!({"n": n + 1}));
                        transaction.execute(update).await?;
                        Ok::<_, DittoError>(if number % 10 == 9 {
                            TransactionCompletionAction::Rollback
                        } else {
                            TransactionCompletionAction::Commit
                        })
                    });
                    drop(block_on(run).unwrap());
                }
            });
        }
    });
    assert_eq!(peer.rows("SELECT n FROM c"), [format!(r#"{{"n":{}}}"#, THREADS * EACH * 9 / 10)]);
}

#[derive(serde::Deserialize)]
struct Count {
    n: u64,
}

#[test]
fn a_transaction_can_be_spawned_and_moves_between_threads() {
    fn sends<F: Future + Send>(future: F) -> F {
        future
    }
    let peer = Peer::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|number: u32| {
            let store = peer.ditto.store().clone();
            runtime.spawn(sends(async move {
                let run = store.transaction(async |transaction| {
                    transaction
                        .execute(("INSERT INTO c DOCUMENTS (:d)", json!({"d": {"_id": number}})))
                        .await?;
                    tokio::task::yield_now().await;
                    // Wherever it goes on, it is inside.
                    let error = store.execute("DELETE FROM c").await.unwrap_err();
                    assert_eq!(error.kind(), NESTED);
                    tokio::task::yield_now().await;
                    Ok::<_, DittoError>(transaction.execute("SELECT * FROM c").await?.item_count())
                });
                run.await.unwrap()
            }))
        })
        .collect();
    let mut counts: Vec<usize> =
        runtime.block_on(future::join_all(tasks)).into_iter().map(Result::unwrap).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=50).collect::<Vec<_>>());
    // After a scope its thread is outside again.
    peer.execute("DELETE FROM c");
}

#[test]
fn a_transaction_tells_what_it_is() {
    let peer = Peer::new();
    let store = peer.ditto.store();
    let info = |options| {
        block_on(store.transaction_with_options(options, async |transaction| {
            assert_eq!(transaction.info(), transaction.info());
            Ok::<_, DittoError>(transaction.info())
        }))
        .unwrap()
    };
    let mut options = CreateTransactionOptions::new();
    options.hint = Some("a hint");
    let first = info(options.clone());
    let second = info(read_only());
    assert_eq!((first.hint.as_deref(), first.is_read_only), (Some("a hint"), false));
    assert_eq!((second.hint, second.is_read_only), (None, true));
    assert!(!first.id.is_empty() && first.id != second.id && first.id != info(options).id);
    assert_eq!(CreateTransactionOptions::new(), CreateTransactionOptions::default());
}

#[test]
fn closing_waits_for_a_transaction_that_ends() {
    let Peer { ditto, root } = Peer::new();
    let store = ditto.store().clone();
    let (begun, has_begun) = sync_channel(0);
    let closing = Arc::new(AtomicBool::new(false));
    let is_closing = closing.clone();
    let running = thread::spawn(move || {
        block_on(store.transaction(async |transaction| {
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
            begun.send(()).unwrap();
            while !is_closing.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 2})").await?;
            Ok::<_, DittoError>(())
        }))
    });
    next(&has_begun);
    closing.store(true, Ordering::SeqCst);
    ditto.close();
    let committed = match running.join().unwrap() {
        Ok(()) => 2,
        // A thread that gets no processor for seconds is not waited for that long.
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance);
            0
        }
    };
    let ditto = Ditto::open_sync(support::config(&root, None)).unwrap();
    assert_eq!(block_on(ditto.store().execute(ALL)).unwrap().item_count(), committed);
}

#[test]
fn closing_from_inside_rolls_back_at_once() {
    let Peer { ditto, root } = Peer::new();
    let store = ditto.store().clone();
    let running = store.transaction(async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        ditto.close();
        let error = transaction.execute(ALL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance);
        Ok::<_, DittoError>(())
    });
    assert_eq!(block_on(running).unwrap_err().kind(), ErrorKind::ReleasedDittoInstance);
    let late = block_on(store.transaction(async |_| Ok::<_, DittoError>(())));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::ReleasedDittoInstance);
    let ditto = Ditto::open_sync(support::config(&root, None)).unwrap();
    assert_eq!(block_on(ditto.store().execute(ALL)).unwrap().item_count(), 0);
}

#[test]
fn a_subscription_may_begin_and_sync_may_stop_inside_of_a_transaction() {
    let peer = Peer::new();
    peer.ditto.sync().start().unwrap();
    let running = peer.ditto.store().transaction(async |transaction| {
        transaction.execute("INSERT INTO c DOCUMENTS ({'_id': 1})").await?;
        drop(peer.ditto.sync().register_subscription("SELECT * FROM c")?);
        peer.ditto.sync().stop();
        peer.ditto.sync().start()?;
        Ok::<_, DittoError>(())
    });
    block_on(running).unwrap();
    assert_eq!(peer.ditto.sync().subscriptions().len(), 1);
}
