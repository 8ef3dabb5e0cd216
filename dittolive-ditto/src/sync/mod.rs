//! Keeping up with other peers: [`Sync`] and [`SyncSubscription`].

mod reached;
mod subscription;

use std::{collections::HashSet, fmt, future::Future, num::NonZeroU64, sync::Arc};

use serde::Serialize;

pub(crate) use self::subscription::SubscriptionState;
pub use self::subscription::SyncSubscription;
use crate::{dql::IntoQuery, error::DittoError, instance::Instance};

/// Sync with other peers, from [`Ditto::sync`](crate::Ditto::sync).
///
/// A peer holds what it subscribes to, and what is written on it. While sync is active, it gives other peers what they
/// subscribe to, and gets what it subscribes to itself.
///
/// ```no_run
/// # fn example(ditto: dittolive_ditto::Ditto) -> Result<(), dittolive_ditto::error::DittoError> {
/// ditto.update_transport_config(|config| {
///     config.connect.tcp_servers.insert("192.0.2.7:4040".into());
/// });
/// ditto.sync().register_subscription("SELECT * FROM places WHERE country = 'AD'")?;
/// ditto.sync().start()?;
/// # Ok(())
/// # }
/// ```
pub struct Sync {
    instance: Arc<Instance>,
}

impl Sync {
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        Self { instance }
    }

    /// Asks other peers for the documents of `SELECT * FROM collection [WHERE condition]`, now and from now on.
    ///
    /// It may be registered before or after [`start`](Self::start), goes on when sync stops and starts again, and ends
    /// with [`cancel`](SyncSubscription::cancel) or with the instance, **not** when the handle is dropped.
    ///
    /// Other peers are asked for up to 1,000 different queries (with their arguments) at a time. Those beyond are `Refused` in
    /// `system:subscriptions` until others are cancelled: rather make few subscriptions that ask for much.
    ///
    /// # Errors
    /// When the query does not compile, is something else than such a `SELECT`, or is too long to travel (64 KiB, and 128 KiB of
    /// arguments), and with a kind of `ReleasedDittoInstance` when the instance is closed.
    pub fn register_subscription<Q>(&self, query: Q) -> Result<Arc<SyncSubscription>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        let query = query.into_query()?;
        Ok(Arc::new(SyncSubscription::register(&self.instance, query)?))
    }

    /// The subscriptions that are active: handles equal to those from [`register_subscription`](Self::register_subscription).
    #[must_use]
    #[expect(clippy::mutable_key_type, reason = "equality and hash are those of the id, which never changes")]
    pub fn subscriptions(&self) -> HashSet<SyncSubscription> {
        self.instance.subscriptions.all().into_iter().map(SyncSubscription::listed).collect()
    }

    /// Starts to sync by the transport configuration. Doing it twice does nothing.
    ///
    /// What of the configuration cannot be served now, such as an address to listen on that is taken, is logged and tried
    /// again when the configuration is set again; [`Ditto::try_set_transport_config`](crate::Ditto::try_set_transport_config) tells it.
    ///
    /// # Errors
    /// With a kind of `ReleasedDittoInstance` when the instance is closed.
    pub fn start(&self) -> Result<(), DittoError> {
        self.instance.peer.start_sync()
    }

    /// Closes all connections and listeners; blocks until that is done. Doing it twice does nothing.
    pub fn stop(&self) {
        self.instance.peer.stop_sync();
    }

    /// Whether sync is active.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.instance.peer.is_sync_active()
    }

    /// Waits until a commit has reached another peer: until that holds, safe from a loss of power, all documents of this
    /// commit and of those before it that it subscribed to then and may get. One that the peer refuses, or that is too large to travel, holds
    /// back its commit and all later ones until it changes: `documents_refused` in `system:data_sync_info` tells of it. A collection
    /// that its sync scope keeps here, and a subscription that is refused, hold back nothing. `peer` is the key of that peer, as presence and
    /// `system:data_sync_info` show it; `None` waits for the first of all. Returns the peer's key.
    ///
    /// A commit's number is [`QueryResult::commit_id`](crate::dql::QueryResult::commit_id). What was acknowledged before this
    /// opening of the instance counts as far as it is still known, and is heard anew when the peer connects; one that
    /// subscribes to nothing acknowledges nothing. There is no timeout but your own: dropping the future ends the wait.
    ///
    /// ```no_run
    /// # async fn example(ditto: dittolive_ditto::Ditto) -> Result<(), dittolive_ditto::error::DittoError> {
    /// let result = ditto.store().execute("INSERT INTO orders DOCUMENTS ({'_id': 17, 'paid': true})").await?;
    /// if let Some(commit) = result.commit_id() {
    ///     let peer = ditto.sync().commit_reached(commit, None).await?;
    ///     println!("{peer}, if it subscribes to orders, has this one");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// With a kind of `ReleasedDittoInstance` when the instance is or gets closed.
    pub fn commit_reached(
        &self,
        commit: NonZeroU64,
        peer: Option<&str>,
    ) -> impl Future<Output = Result<String, DittoError>> + Send + 'static + use<> {
        let reached = reached::Reached::wait(&self.instance, commit, peer);
        async move { reached?.await }
    }

    /// [`register_subscription`](Self::register_subscription) under its older name.
    ///
    /// # Errors
    /// As there.
    #[deprecated(note = "use `register_subscription`")]
    pub fn register_subscription_v2<Q>(&self, query: Q) -> Result<Arc<SyncSubscription>, DittoError>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        self.register_subscription(query)
    }

    /// [`subscriptions`](Self::subscriptions) under its older name.
    #[deprecated(note = "use `subscriptions`")]
    #[must_use]
    #[expect(clippy::mutable_key_type, reason = "equality and hash are those of the id, which never changes")]
    pub fn subscriptions_v2(&self) -> HashSet<SyncSubscription> {
        self.subscriptions()
    }
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sync").field("is_active", &self.is_active()).finish_non_exhaustive()
    }
}
