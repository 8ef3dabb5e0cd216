//! The wait for what the library calls back with.

use std::{
    ffi::c_void,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use super::trampoline::{self, contain};
use crate::error::{DittoError, ErrorKind};

/// What the future and the library share.
type Shared<T> = Arc<Mutex<State<T>>>;

#[derive(Default)]
enum State<T> {
    #[default]
    Unpolled,
    Awaited(Waker),
    Come(Result<T, DittoError>),
    /// Nobody waits any more.
    GivenUp,
}

/// An outcome to be. Dropping it says that it is not wanted any more.
pub(crate) struct Outcome<T>(Shared<T>);

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + 'static> Outcome<T> {
    /// The `context` of the callback that brings it.
    pub(super) fn context(&self) -> *mut c_void {
        trampoline::context::<Shared<T>>(self.0.clone())
    }
}

impl<T> Future for Outcome<T> {
    type Output = Result<T, DittoError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *state, State::GivenUp) {
            State::Come(outcome) => Poll::Ready(outcome),
            State::Unpolled | State::Awaited(_) => {
                *state = State::Awaited(context.waker().clone());
                Poll::Pending
            }
            // Polled again after it was ready.
            State::GivenUp => Poll::Ready(Err(ErrorKind::Internal.into())),
        }
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        let state = mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), State::GivenUp);
        // Outside of the lock: a transaction that has begun is rolled back here.
        drop(state);
    }
}

/// The `call` of the callback: brings the outcome.
///
/// # Safety
/// `context` was made by [`Outcome::context`] for the same `T`, and is not released yet.
pub(super) unsafe fn deliver<T>(context: *mut c_void, error: Result<(), DittoError>, handle: Option<T>) {
    // SAFETY: see above.
    let shared = unsafe { &*context.cast::<Shared<T>>() };
    let outcome = error.and_then(|()| handle.ok_or_else(|| ErrorKind::Internal.into()));
    contain(|| {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *state, State::GivenUp) {
            // `outcome` is dropped outside of the lock, as above.
            State::GivenUp => {
                drop(state);
                drop(outcome);
            }
            earlier => {
                *state = State::Come(outcome);
                drop(state);
                if let State::Awaited(waker) = earlier {
                    waker.wake();
                }
            }
        }
    });
}

/// The `is_wanted` of the callback.
///
/// # Safety
/// As for [`deliver`].
pub(super) unsafe extern "C" fn is_wanted<T>(context: *mut c_void) -> bool {
    // SAFETY: see above.
    let shared = unsafe { &*context.cast::<Shared<T>>() };
    !matches!(*shared.lock().unwrap_or_else(PoisonError::into_inner), State::GivenUp)
}

/// The `release` of the callback.
///
/// # Safety
/// As for [`deliver`], once, after the last use of the context.
pub(super) unsafe extern "C" fn release<T>(context: *mut c_void) {
    // SAFETY: made by `trampoline::context` of the same type.
    unsafe { trampoline::release::<Shared<T>>(context) };
}
