//! Subscriptions.

use std::ptr::NonNull;

use dittolive_ditto_sys as sys;

/// A handle to a subscription, which goes on when the handle is dropped.
pub(crate) struct Subscription(NonNull<sys::dittoffi_subscription_t>);

// SAFETY: handles may be used and freed on any thread, several at once.
unsafe impl Send for Subscription {}
// SAFETY: see above.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Takes over a handle; `None` for NULL.
    pub(super) fn from_raw(subscription: *mut sys::dittoffi_subscription_t) -> Option<Self> {
        NonNull::new(subscription).map(Self)
    }

    pub(crate) fn cancel(&self) {
        // SAFETY: a live handle.
        unsafe { sys::dittoffi_subscription_cancel(self.0.as_ptr()) };
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // SAFETY: our handle, given up here.
        unsafe { sys::dittoffi_subscription_free(self.0.as_ptr()) };
    }
}
