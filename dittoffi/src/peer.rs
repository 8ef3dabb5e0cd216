//! A running peer.

use std::ptr;

use ditto_peer::TransportConfig;

use crate::{
    callback::{ExecutedCallback, OnOutcome},
    config,
    error::{Error, ErrorCode},
    handle, logger, panic,
    query_result::QueryResult,
    slice::{Buffer, Slice},
};

/// A running peer: a database in a directory and, while sync is active, its connections. It runs until
/// `dittoffi_peer_close` or until its last handle is freed. Every function may be called from any thread.
pub struct Peer(ditto_peer::Peer);

impl Peer {
    pub(crate) fn engine(&self) -> &ditto_peer::Peer {
        &self.0
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Opens a peer, and blocks while it reads its directory. `config` is a CBOR map:
///
/// | key | value |
/// | --- | --- |
/// | `database_id` | text; peers with equal ids, letter case aside, belong together |
/// | `connect` | map: `type` is `small_peers_only` (and then maybe `private_key`: bytes) or `server` (and then `url`: text) |
/// | `directory` | text, or bytes where paths are bytes: where the database lives; created when absent |
/// | `device_name` | text, optional: what other peers see |
/// | `in_memory` | boolean, optional: keep documents in memory only |
/// | `system_parameters` | map, optional: from name to value |
///
/// Null counts as absent, an unknown key is an error. A directory that is open already, in any process, is refused with
/// `DITTOFFI_ERROR_CODE_LOCKED_DITTO_WORKING_DIRECTORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_open(config: Slice, out: *mut *mut Peer) -> *mut Error {
    panic::contain(|| {
        logger::install();
        handle::require(out, "peer")?;
        // SAFETY: the caller keeps the slice for the call.
        let config = config::peer(unsafe { config.bytes("the configuration") }?)?;
        let peer = ditto_peer::Peer::open(config)?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "peer", || handle::new(Peer(peer))) }
    })
}

/// Another handle to the same peer, to be freed like the first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_clone(peer: *const Peer) -> *mut Peer {
    // SAFETY: the caller passes NULL or a live handle.
    unsafe { handle::clone(peer) }
}

/// Frees a handle to a peer; with the last one the peer is closed as by `dittoffi_peer_close`, and so it may block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_free(peer: *mut Peer) {
    // SAFETY: the caller passes NULL or a live handle that it gives up.
    panic::contain_or((), || unsafe { handle::free(peer) });
}

/// Closes a peer for all its handles: stops sync, ends its observers and subscriptions, writes everything to disk and
/// unlocks the directory; blocks until that is done. Open transactions have some seconds to end, none if this is called
/// from inside of one (`dittoffi_transaction_enter`), and are rolled back then. Handles stay valid, and what is asked of them fails with
/// `DITTOFFI_ERROR_CODE_PEER_CLOSED`. Doing it twice does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_close(peer: *const Peer) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(peer) = unsafe { peer.as_ref() } {
            peer.0.close();
        }
    });
}

/// Runs a statement, and blocks until it is done; a mutating one waits for the writers before it. What it wrote survives a crash of the process when this returns.
/// `arguments` is a CBOR map from parameter name to value, or empty. The message of a statement that does not compile
/// says where and what was expected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_execute(
    peer: *const Peer,
    query: Slice,
    arguments: Slice,
    out: *mut *mut QueryResult,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (peer, query, arguments) = unsafe {
            let peer = handle::borrow(peer, "peer")?;
            (peer, query.text("the query")?, config::arguments_binary(arguments.bytes("the arguments")?)?)
        };
        handle::require(out, "result")?;
        let result = peer.0.store().execute(query, arguments.value())?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "result", || QueryResult::into_raw(result)) }
    })
}

/// As `dittoffi_peer_execute`, but never waits for another writer: `out` gets `NULL` if the statement would have to, and
/// nothing is done then. `CREATE INDEX` and `DROP INDEX` with something to do always would. To wait without blocking:
/// `dittoffi_peer_execute_later`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_try_execute(
    peer: *const Peer,
    query: Slice,
    arguments: Slice,
    out: *mut *mut QueryResult,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (peer, query, arguments) = unsafe {
            let peer = handle::borrow(peer, "peer")?;
            (peer, query.text("the query")?, config::arguments_binary(arguments.bytes("the arguments")?)?)
        };
        handle::require(out, "result")?;
        let result = peer.0.store().try_execute(query, arguments.value())?;
        // SAFETY: the caller passes NULL or a place for a handle.
        unsafe { handle::store(out, "result", || result.map_or(ptr::null_mut(), QueryResult::into_raw)) }
    })
}

/// As `dittoffi_peer_execute`, but does not block: the callback gets the result, or why there is none, when it was the
/// statement's turn. If there is nothing to wait for it is called before this function returns, on the same thread. Other
/// errors than those of the handles, the texts and the arguments come by the callback.
///
/// The callback is taken over: its `release` is called exactly once, also when this function fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_execute_later(
    peer: *const Peer,
    query: Slice,
    arguments: Slice,
    callback: ExecutedCallback,
) -> *mut Error {
    panic::contain(|| {
        let callback = OnOutcome::executed(callback)?;
        // SAFETY: the caller passes NULL or a live handle, and slices that it keeps for the call.
        let (peer, query, arguments) = unsafe {
            let peer = handle::borrow(peer, "peer")?;
            (peer, query.text("the query")?, config::arguments_binary(arguments.bytes("the arguments")?)?)
        };
        let executed = callback.expected();
        peer.0.store().execute_later(query, arguments.into_bytes(), move |run| {
            if executed.is_wanted() {
                executed.call(run().map(QueryResult::into_raw).map_err(Error::from));
            }
        });
        Ok(())
    })
}

/// Starts to sync with other peers by the transport configuration. What of it cannot be served is logged, and told by
/// `dittoffi_peer_set_transport_config`. Doing it twice does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_start_sync(peer: *const Peer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        unsafe { handle::borrow(peer, "peer") }?.0.start_sync()?;
        Ok(())
    })
}

/// Closes all connections and listeners; blocks until that is done. Doing it twice does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_stop_sync(peer: *const Peer) {
    panic::contain_or((), || {
        // SAFETY: the caller passes NULL or a live handle.
        if let Some(peer) = unsafe { peer.as_ref() } {
            peer.0.stop_sync();
        }
    });
}

/// Whether sync is active; `false` for `NULL` and for a closed peer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_is_sync_active(peer: *const Peer) -> bool {
    panic::contain_or(false, || {
        // SAFETY: the caller passes NULL or a live handle.
        unsafe { peer.as_ref() }.is_some_and(|peer| peer.0.is_sync_active())
    })
}

/// Replaces the transport configuration; it applies at once when sync is active: addresses that are gone are
/// disconnected, new ones connected to. `problems` gets a JSON array of texts, one for each part that cannot be served:
/// an address that is none, a transport that this platform does not have, and, when sync is active, a port in use; it may
/// be `NULL`. The configuration is a JSON object, and what it leaves out is off, empty or 0:
///
/// | member | value |
/// | --- | --- |
/// | `connect.tcp_servers` | array of texts `host:port`; the host is a DNS name, an IPv4 address or a bracketed IPv6 address |
/// | `connect.websocket_urls` | array of texts `ws://…` or `wss://…` |
/// | `connect.retry_interval` | milliseconds: the longest pause between two attempts; 0 is 5000 |
/// | `listen.tcp` | object: `enabled`, `interface_ip` (an address, text; empty is `[::]`), `port` (0 is any free one) |
/// | `listen.http` | object: as `tcp`, and `websocket_sync`, `tls_key_path`, `tls_certificate_path` |
/// | `peer_to_peer` | object: `bluetooth_le`, `lan`, `awdl`, `wifi_aware`, each an object with `enabled`; `lan` has `mdns_enabled` and `multicast_enabled` too |
/// | `global` | object: `sync_group`, `routing_hint`, numbers |
///
/// `{"listen": {"tcp": {"enabled": true, "interface_ip": "127.0.0.1", "port": 4040}}}` accepts peers of this machine. The
/// real port is in the row `listen_tcp` of `SELECT * FROM system:transports_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_set_transport_config(
    peer: *const Peer,
    config: Slice,
    problems: *mut Buffer,
) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and a slice that it keeps for the call.
        let (peer, config) =
            unsafe { (handle::borrow(peer, "peer")?, config.text("the transport configuration")?) };
        let config: TransportConfig = serde_json::from_str(config).map_err(|error| {
            Error::new(
                ErrorCode::ValidationInvalidTransportConfig,
                format!("the transport configuration cannot be read: {error}"),
            )
        })?;
        let found = peer.0.set_transport_config(config)?;
        if problems.is_null() {
            return Ok(());
        }
        let found = json(&found)?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(problems, "problems", || found.into()) }
    })
}

/// The transport configuration, in the form that `dittoffi_peer_set_transport_config` takes, with all members.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_transport_config(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let config = json(&unsafe { handle::borrow(peer, "peer") }?.0.transport_config())?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "transport configuration", || config.into()) }
    })
}

/// The peers that are known and how they are connected: a JSON object of `localPeer` (a peer) and `remotePeers` (an array
/// of peers). A peer has `peerKeyString`, `deviceName`, `os`, `dittoSdkVersion` (both may be null), and `connections`: an
/// array of objects with `id`, `peerKeyString1`, `peerKeyString2` and `connectionType`. More members may come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_presence(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "presence", || peer.0.presence_json().into()) }
    })
}

/// The absolute path of the peer's directory, in the system's own bytes where paths are bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_directory(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe {
            handle::store(out, "directory", || {
                peer.0.directory().as_os_str().as_encoded_bytes().to_vec().into()
            })
        }
    })
}

/// The peer key, as text: the public key that names this peer everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_key(peer: *const Peer, out: *mut Buffer) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle.
        let peer = unsafe { handle::borrow(peer, "peer") }?;
        // SAFETY: the caller passes NULL or a place for a buffer.
        unsafe { handle::store(out, "peer key", || peer.0.peer_key().into()) }
    })
}

/// Sets the name that other peers see. A long one is cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dittoffi_peer_set_device_name(peer: *const Peer, name: Slice) -> *mut Error {
    panic::contain(|| {
        // SAFETY: the caller passes NULL or a live handle, and a slice that it keeps for the call.
        let (peer, name) = unsafe { (handle::borrow(peer, "peer")?, name.text("the device name")?) };
        peer.0.set_device_name(name);
        Ok(())
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::caused(ErrorCode::Internal, &error))
}
