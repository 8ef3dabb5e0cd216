//! Subscriptions: queries whose documents other peers send to this one.

use crate::{config, error::Error, handle, panic, peer::Peer, slice::Slice};

/// A subscription of a peer. It ends with `dittoffi_subscription_cancel` or with the peer, not with its handles.
pub struct Subscription(ditto_peer::Subscription);

/// Asks the peers that this one syncs with for the documents of `SELECT * FROM collection [WHERE condition]`, now and
/// from now on, while sync is active. `arguments` is a CBOR map from parameter name to value, or empty. Blocks while the
/// library is busy with what another peer has sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_subscribe(
    peer: *const Peer,
    query: Slice,
    arguments: Slice,
    out: *mut *mut Subscription,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (peer, query, arguments) = unsafe {
            let peer = handle::borrow(peer, "peer")?;
            (peer, query.text("the query")?, config::arguments(arguments.bytes("the arguments")?)?)
        };
        handle::require(out, "subscription")?;
        let subscription = peer.engine().subscribe(query, arguments)?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "subscription", || handle::new(Subscription(subscription))) }
    })
}

/// Ends the subscription. Documents that have arrived stay. Doing it twice, or after the peer was closed, does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_subscription_cancel(subscription: *const Subscription) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(subscription) = unsafe { subscription.as_ref() } {
            subscription.0.cancel();
        }
    });
}

/// Another handle to the same subscription, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_subscription_clone(subscription: *const Subscription) -> *mut Subscription {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(subscription) }
}

/// Frees a handle to a subscription. The subscription goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_subscription_free(subscription: *mut Subscription) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(subscription) });
}
