//! `system:system_info`: what a person who looks after the peer asks first, as rows of namespace, key and value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ditto_mesh::LinkKind;
use ditto_store::WeakStore;
use ditto_value::{Object, Value};
use parking_lot::Mutex;

use crate::disk_usage::DiskUsage;
use crate::environment::now_ms;
use crate::presence;
use crate::status::SyncStatus;
use crate::transport_config::TransportConfig;

/// The virtual collection.
pub(crate) const SYSTEM_INFO: &str = "system:system_info";

/// Namespace and key.
type Name = (&'static str, String);

/// Where the rows come from.
pub(crate) struct SystemInfo {
    pub store: WeakStore,
    pub status: SyncStatus,
    pub transport_config: Arc<Mutex<TransportConfig>>,
    pub directory: PathBuf,
    /// Each value as it was last seen, and since when: seconds since 1970.
    pub seen: Mutex<BTreeMap<Name, (Value, u64)>>,
}

impl SystemInfo {
    /// One row for each value. Its `timestamp` is that of the first look that found it, so that rows change only when
    /// values do. Looks at every file of the directory.
    pub(crate) fn rows(&self) -> Vec<Object> {
        let (now, values) = (now_ms() / 1000, self.values());
        let mut seen = self.seen.lock();
        let mut before = std::mem::take(&mut *seen);
        for (name, value) in values {
            let since = before.remove(&name).filter(|(before, _)| *before == value).map(|(_, since)| since);
            seen.insert(name, (value, since.unwrap_or(now)));
        }
        let row = |((namespace, key), (value, since)): (&Name, &(Value, u64))| {
            Object::from([
                ("_id", Value::from(format!("{namespace}.{key}"))),
                ("key", Value::from(key.as_str())),
                ("namespace", Value::from(*namespace)),
                ("timestamp", Value::from(*since)),
                ("value", value.clone()),
            ])
        };
        seen.iter().map(row).collect()
    }

    fn values(&self) -> Vec<(Name, Value)> {
        let mut values = vec![
            (("core", "ditto_sdk_platform".to_owned()), Value::from(presence::os())),
            (("core", "ditto_sdk_version".to_owned()), Value::from(env!("CARGO_PKG_VERSION"))),
        ];
        if let Some(store) = self.store.upgrade() {
            let changed = store.changed_parameters();
            if let Some(Value::Object(scopes)) = changed.get("user_collection_sync_scopes") {
                values.extend(
                    scopes.iter().map(|(name, scope)| (("sync_scopes", name.to_string()), scope.clone())),
                );
            }
            let parameter = |(name, value): (String, Value)| {
                (("core", format!("non_default_system_parameter[{name}]")), value)
            };
            values.extend(changed.into_iter().map(parameter));
            values.extend(store.collections().into_iter().map(|collection| {
                let key = format!("collection_num_docs[{}]", collection.name);
                (("store", key), Value::from(collection.documents))
            }));
        }
        let size = DiskUsage::measure(&self.directory).size_in_bytes;
        values.push((("store", "fs_usage_total".to_owned()), Value::from(size)));
        let connections = self.status.connections();
        let count = |of: fn(&LinkKind) -> bool| {
            Value::from(connections.iter().filter(|(_, kind)| of(kind)).count() as u64)
        };
        values.extend([
            (
                ("presence", "connections_accesspoint".to_owned()),
                count(|kind| matches!(kind, LinkKind::Tcp | LinkKind::InProcess)),
            ),
            (
                ("presence", "connections_bluetooth".to_owned()),
                count(|kind| matches!(kind, LinkKind::BluetoothLe)),
            ),
            (
                ("presence", "connections_websocket".to_owned()),
                count(|kind| matches!(kind, LinkKind::WebSocket)),
            ),
        ]);
        values.push((("presence", "is_connected_to_ditto_cloud".to_owned()), Value::Bool(false)));
        let config = serde_json::to_string(&*self.transport_config.lock()).unwrap_or_default();
        let config = Value::from_json(&config).unwrap_or(Value::Null);
        values.push((("presence", "transport_config".to_owned()), config));
        values
    }
}

#[cfg(test)]
mod tests {
    use ditto_storage::MemoryStorage;
    use ditto_store::{Store, StoreOptions};

    use super::*;
    use crate::SystemEnvironment;
    use crate::callbacks::CallbackThreads;

    #[test]
    fn values_are_listed_with_the_time_of_their_change() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), [0; 11]).unwrap();
        let options = StoreOptions::new("id", Arc::new(CallbackThreads::start().unwrap()));
        let store =
            Store::open(Arc::new(MemoryStorage::new()), Arc::new(SystemEnvironment), options).unwrap();
        let info = SystemInfo {
            store: store.downgrade(),
            status: SyncStatus::default(),
            transport_config: Arc::new(Mutex::new(TransportConfig::initial())),
            directory: directory.path().to_owned(),
            seen: Mutex::default(),
        };
        let execute = |text: &str| drop(store.execute(text, &Object::new()).unwrap());
        execute("INSERT INTO c DOCUMENTS ({'_id': 1})");
        execute("ALTER SYSTEM SET user_collection_sync_scopes = {'c': 'LocalPeerOnly'}");
        let value = |id: &str| {
            let rows = info.rows();
            let row = rows.into_iter().find(|row| row.get("_id").and_then(Value::as_str) == Some(id))?;
            row.get("value").map(Value::to_json)
        };
        let shown = |id: &str| value(id).unwrap_or_default();
        assert_eq!(shown("store.collection_num_docs[c]"), "1");
        assert_eq!(shown("store.fs_usage_total"), "11");
        assert_eq!(shown("sync_scopes.c"), r#""LocalPeerOnly""#);
        assert_eq!(
            shown("core.non_default_system_parameter[user_collection_sync_scopes]"),
            r#"{"c":"LocalPeerOnly"}"#
        );
        assert_eq!(shown("presence.connections_accesspoint"), "0");
        assert!(shown("presence.transport_config").contains("peer_to_peer"));
        assert_eq!(info.rows(), info.rows());
        // As if the values had been there for long, but one.
        info.seen.lock().values_mut().for_each(|(_, since)| *since = 7);
        execute("INSERT INTO c DOCUMENTS ({'_id': 2})");
        let newer: Vec<_> = info
            .rows()
            .into_iter()
            .filter(|row| row.get("timestamp").and_then(Value::as_i64) > Some(7))
            .filter_map(|row| row.get("_id").and_then(Value::as_str).map(str::to_owned))
            .collect();
        assert_eq!(newer, ["store.collection_num_docs[c]"]);
        execute("ALTER SYSTEM RESET ALL");
        assert_eq!(value("sync_scopes.c"), None);
    }
}
