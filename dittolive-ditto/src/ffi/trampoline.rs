//! What all callbacks share: a closure behind a pointer, and panics that stop.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Hands `value` over to the library as a callback's `context`.
pub(super) fn context<T: Send + 'static>(value: T) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// The `release` of a callback whose context was made by [`context`] of the same `T`.
///
/// # Safety
/// Called once, with that context, after the last use of it.
pub(super) unsafe extern "C" fn release<T>(context: *mut c_void) {
    // SAFETY: made by `Box::into_raw` of a `Box<T>`, and the library lets go of it here, once.
    let value = unsafe { Box::from_raw(context.cast::<T>()) };
    contain(|| drop(value));
}

/// Runs code of the application; a panic in it ends there. The panic hook has already reported it.
pub(super) fn contain(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        // Dropping a payload may panic too; one that does is leaked rather than let through.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    struct Bomb(Arc<AtomicUsize>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("the application panics on drop");
        }
    }

    #[test]
    fn a_panic_stops_at_the_boundary_and_the_context_is_dropped_once() {
        let drops = Arc::new(AtomicUsize::new(0));
        let context = context(Bomb(drops.clone()));
        contain(|| panic!("the application panics"));
        contain(|| std::panic::panic_any(Bomb(drops.clone())));
        // SAFETY: made above, released once.
        unsafe { release::<Bomb>(context) };
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }
}
