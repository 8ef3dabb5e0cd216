//! The interface as programs write it: that this file compiles is most of the test.
#![allow(
    clippy::mutable_key_type,
    reason = "the sets of the interface; equality is by id, which never changes"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]
#![allow(
    clippy::type_complexity,
    clippy::redundant_closure,
    reason = "signatures are spelled out on purpose"
)]

mod support;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    error::Error,
    fmt::{Debug, Display},
    future::Future,
    hash::Hash,
    num::NonZeroU64,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dittolive_ditto::{
    AppId, DatabaseId, Ditto, DittoConfig, DittoConfigConnect, LogLevel,
    dql::{
        ChangeHandler, ChangeHandlerWithSignalNext, Diff, DiffMove, Differ, Query, QueryArguments,
        QueryResult, QueryResultItem, QueryV2, SignalNext, StoreObserver,
    },
    error::{CoreApiErrorKind, ErrorKind, Result as DittoResult},
    prelude::*,
    store::{DocumentId, SetArc, Store},
    sync::SyncSubscription,
    transport::{
        AwdlConfig, BluetoothLEConfig, Connect, Global, HttpListenConfig, LanConfig, Listen, PeerToPeer,
        TcpListenConfig, TransportConfig, WifiAwareConfig,
    },
};
use futures::executor::block_on;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use self::support::Peer;

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send>(value: T) -> T {
    value
}

#[test]
fn an_instance_has_its_methods() {
    shared::<Ditto>();
    fn open(config: DittoConfig) -> impl Future<Output = Result<Ditto, DittoError>> + Send {
        Ditto::open(config)
    }
    let _: fn(DittoConfig) -> Result<Ditto, DittoError> = Ditto::open_sync;
    let _: fn(Ditto) = Ditto::close;
    let _: fn(&Ditto) -> Result<(), DittoError> = Ditto::start_sync;
    let _: fn(&Ditto) = Ditto::stop_sync;
    let _: fn(&Ditto) -> bool = Ditto::is_sync_active;
    let _: fn(&Ditto, TransportConfig) = Ditto::set_transport_config;
    let _ = |ditto: &Ditto| ditto.update_transport_config(|config| config.enable_all_peer_to_peer());
    let _: fn(&Ditto) -> TransportConfig = Ditto::transport_config;
    #[expect(deprecated, reason = "it stays")]
    let _: fn(&Ditto) -> Result<TransportConfig, DittoError> = Ditto::current_transport_config;
    let _: fn(&Ditto, &str) -> Result<(), DittoError> = Ditto::set_offline_only_license_token;
    let _: fn(&Ditto, &str) -> Result<(), DittoError> = Ditto::set_license_from_env;
    let _: fn(&Ditto) -> bool = Ditto::is_activated;
    let _: fn(&Ditto) -> &Store = Ditto::store;
    let _: fn(&Ditto) -> &dittolive_ditto::sync::Sync = Ditto::sync;
    let _: fn(&Ditto) -> &DiskUsage = Ditto::disk_usage;
    let _: fn(&Ditto) -> DittoConfig = Ditto::config;
    let _: fn(&Ditto) -> PathBuf = Ditto::absolute_persistence_directory;
    let _: fn(&Ditto) -> AppId = Ditto::app_id;
    let _: fn(&Ditto, &str) = Ditto::set_device_name;
    let _: fn() -> String = Ditto::version;
    let _: usize = Ditto::with_sdk_version(|version| version.len());
    let _: fn(&Ditto) -> Result<(), DittoError> = Ditto::disable_sync_with_v3;
    let _ = open;
}

#[test]
fn disk_usage_has_the_names_of_all_programs() {
    use dittolive_ditto::disk_usage::{
        DiskUsageCallback, DiskUsageChild, DiskUsageObserver, DiskUsageObserverCtx,
    };
    shared::<DiskUsage>();
    shared::<Arc<DiskUsageObserverHandle>>();
    let _: fn(&DiskUsage) -> DiskUsageItem = DiskUsage::item;
    #[expect(deprecated, reason = "it stays")]
    let _: fn(&DiskUsage) -> DiskUsageChild = DiskUsage::exec;
    #[expect(deprecated, reason = "it stays")]
    let _: fn(&Store) -> &DiskUsage = Store::disk_usage;
    fn observe<F: DiskUsageCallback>(usage: &DiskUsage, callback: F) -> Arc<DiskUsageObserverHandle> {
        usage.observe(callback)
    }
    let _ = |usage: &DiskUsage| observe(usage, |item: DiskUsageItem| drop(item));
    let _: Option<(DiskUsageObserver, DiskUsageObserverCtx<fn(DiskUsageItem)>)> = None;
    let item: DiskUsageItem = serde_json::from_value(json!({
        "fs_type": "SymLink", "path": "x/link", "size_in_bytes": 3, "children": null,
    }))
    .unwrap();
    let DiskUsageItem { fs_type, path, size_in_bytes, children } = item.clone();
    assert_eq!(item, DiskUsageChild { fs_type, path, size_in_bytes, children });
    assert_eq!([FileSystemType::Directory as u8, FileSystemType::SymLink as u8], [0, 2]);
}

#[test]
#[expect(deprecated, reason = "they stay")]
fn older_programs_find_what_they_name() {
    let _: fn(AppId) -> Ditto = Ditto::new;
    let _: fn() -> DittoBuilder = Ditto::builder;
    let _: for<'a> fn(&'a Ditto) -> &'a Path = Ditto::persistence_directory;
    let _: for<'a> fn(&'a Ditto) -> &'a Path = Ditto::root_dir;
    let _: for<'a> fn(&'a Ditto) -> &'a Path = Ditto::data_dir;
    let _: fn(&Ditto) -> AppId = Ditto::application_id;
    let _: (fn(bool), fn() -> bool) = (Ditto::set_logging_enabled, Ditto::get_logging_enabled);
    let _: (fn(LogLevel), fn() -> LogLevel) = (Ditto::set_minimum_log_level, Ditto::get_minimum_log_level);
    {
        use dittolive_ditto::{
            ditto::{builder::DittoBuilder as Builder, init::DittoConfig as Config},
            store::collection::document_id::DocumentId as Id,
        };
        let _: (Option<Builder>, Option<Config>, Option<Id>) = (None, None, None);
    }
    let _: Option<SiteId> = Some(7_u64);
    let feedback = DittoError::from(ErrorKind::Authentication).get_authentication_client_feedback();
    let _: Option<serde_json::Value> = feedback.unwrap().feedback;
    assert!(DittoError::from(ErrorKind::IO).get_authentication_client_feedback().is_none());
}

#[test]
fn an_instance_is_built_step_by_step() {
    let kind = |result: Result<DittoBuilder, DittoError>| result.err().unwrap().kind();
    let playground = |root| OfflinePlayground::new(root, AppId::from("Garden"));
    assert_eq!(kind(Ditto::builder().with_identity(playground)), ErrorKind::Config);
    assert_eq!(kind(Ditto::builder().with_transport_config(|_| TransportConfig::new())), ErrorKind::Config);
    assert_eq!(Ditto::builder().build().unwrap_err().kind(), ErrorKind::Config);

    let root = Arc::new(TempRoot::new());
    let path = root.root_path().to_owned();
    let mut config = TransportConfig::new();
    config.global.sync_group = 3;
    let ditto = Ditto::builder()
        .with_root(root)
        .with_identity(|root| {
            assert!(root.exists());
            playground(root)
        })
        .unwrap()
        .with_transport_config(|identity: Arc<dyn Identity>| {
            assert!(!identity.is_cloud_sync_enabled() && !identity.requires_offline_only_license_token());
            assert_eq!(identity.auth_url().unwrap_err().kind(), ErrorKind::InvalidInput);
            config.clone()
        })
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(ditto.transport_config(), config);
    assert_eq!(ditto.absolute_persistence_directory(), path);
    let store = ditto.store().clone();
    block_on(store.execute("INSERT INTO c DOCUMENTS ({'_id': 1})")).unwrap();
    assert!(path.exists());
    drop(ditto);
    assert!(!path.exists(), "the root goes with the instance");
    assert_eq!(
        block_on(store.execute("SELECT * FROM c")).unwrap_err().kind(),
        ErrorKind::ReleasedDittoInstance
    );
}

#[test]
fn a_fresh_instance_has_the_usual_transport_configuration() {
    let peer = Peer::new();
    assert_eq!(peer.ditto.transport_config(), TransportConfig::new());
}

#[test]
fn a_configuration_is_written_and_read() {
    fn config<T: Clone + Debug + Serialize + DeserializeOwned>() {}
    config::<DittoConfig>();
    config::<DittoConfigConnect>();
    let mut config =
        DittoConfig::new(String::from("a"), DittoConfigConnect::SmallPeersOnly { private_key: None })
            .with_persistence_directory("relative");
    config.database_id = "b".into();
    config.persistence_directory = None;
    config.system_parameters.insert("dql_strict_mode".into(), json!(true));
    config.connect = DittoConfigConnect::Server { url: "https://example.com".parse().unwrap() };
    assert_eq!(
        serde_json::to_value(&config).unwrap()["connect"],
        json!({"type": "server", "url": "https://example.com/"})
    );
    let read: DittoConfig = serde_json::from_value(json!({
        "database_id": "x", "connect": {"type": "small_peers_only", "private_key": "AQID"}
    }))
    .unwrap();
    let DittoConfigConnect::SmallPeersOnly { private_key: Some(key) } = &read.connect else { panic!() };
    assert_eq!(key, &[1, 2, 3]);
    assert!(read.persistence_directory.is_none() && read.system_parameters.is_empty());
}

#[test]
fn ids_of_databases() {
    fn id<T: Clone + Debug + Display + Eq + Hash + From<String> + for<'a> From<&'a str>>() {}
    id::<DatabaseId>();
    let _: fn() -> DatabaseId = DatabaseId::generate;
    let _: fn(uuid::Uuid) -> AppId = AppId::from_uuid;
    let _: fn(&str) -> Result<AppId, DittoError> = AppId::from_env;
    let parsed: Result<DatabaseId, DittoError> = "anything at all".parse();
    let id = parsed.unwrap();
    let _: (&str, String, String) = (id.as_str(), id.default_auth_url(), id.default_sync_url());
    let c_string = id.to_c_string();
    assert_eq!((c_string.to_str(), c_string.to_string()), (id.as_str(), id.to_string()));
    assert_eq!(c_string.clone().into_string(), c_string.as_ref());
}

#[test]
fn roots() {
    struct Here(PathBuf);
    impl DittoRoot for Here {
        fn root_path(&self) -> &Path {
            &self.0
        }
        fn exists(&self) -> bool {
            true
        }
        fn is_valid(&self) -> Result<(), DittoError> {
            Ok(())
        }
    }
    let here: Arc<dyn DittoRoot> = Arc::new(Here("a".into()));
    assert_eq!(here.root_path_as_str().unwrap(), "a");
    assert_eq!(here.root_dir_to_c_str().unwrap().to_str(), "a");
    let temporary: TempRoot = TempRoot::default();
    let _: Result<PersistentRoot, DittoError> = PersistentRoot::new(temporary.root_path().join("b"));
    let _: fn() -> Result<PersistentRoot, DittoError> = PersistentRoot::from_current_exe;
    let _: fn() -> Result<PersistentRoot, DittoError> = PersistentRoot::from_env;
    let _: fn() -> PersistentRoot = PersistentRoot::default;
    let _: Box<dyn DittoRoot> = Box::new(temporary);
}

#[test]
fn execute_is_send_and_takes_all_kinds_of_queries() -> Result<(), Box<dyn Error + Send + Sync>> {
    shared::<Store>();
    fn generic<Q>(store: &Store, query: Q) -> impl Future<Output = Result<QueryResult, DittoError>>
    where
        Q: IntoQuery,
        Q::Args: Serialize,
    {
        store.execute(query)
    }
    fn query<T: Debug + Clone + PartialEq>() {}
    query::<Query<serde_json::Value>>();
    query::<QueryV2<()>>();
    fn arguments<T: Debug + Eq + Hash + Ord>() {}
    arguments::<QueryArguments>();
    #[derive(Clone, Serialize)]
    struct Args {
        id: i32,
    }

    let peer = Peer::new();
    let store: Store = peer.ditto.store().clone();
    let text = "SELECT * FROM c WHERE _id = :id";
    block_on(sent(store.execute((text, json!({"id": 1})))))?;
    block_on(sent(store.execute((text, Args { id: 1 }))))?;
    block_on(store.execute((text, &Args { id: 1 })))?;
    block_on(store.execute(&(text, Args { id: 1 })))?;
    block_on(store.execute((text.to_owned(), HashMap::from([("id", 1)]))))?;
    block_on(store.execute((&text.to_owned(), BTreeMap::from([("id".to_owned(), 1)]))))?;
    block_on(store.execute((text, Some(json!({"id": 1})))))?;
    block_on(store.execute((text, QueryArguments::from(json!({"id": 1})))))?;
    block_on(store.execute(("SELECT * FROM c", None::<Args>)))?;
    block_on(store.execute(format!("SELECT * FROM {}", "c")))?;
    block_on(store.execute(&&"SELECT * FROM c"))?;
    block_on(store.execute(Query::try_from("SELECT * FROM c")?))?;
    block_on(store.execute((text, json!({"id": 1})).into_query()?))?;
    block_on(generic(&store, "SELECT * FROM c"))?;
    #[expect(deprecated, reason = "it stays")]
    block_on(store.execute_v2("SELECT * FROM c"))?;
    Ok(())
}

#[test]
fn an_owned_result_is_iterated_and_used_afterwards() {
    shared::<QueryResult>();
    shared::<QueryResultItem>();
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let peer = Peer::new();
    let inserted = peer.execute("INSERT INTO c DOCUMENTS ({'_id': 'a', 'name': 'x', 'n': 1})");
    let _: Vec<DocumentId> = inserted.mutated_document_ids();
    let _: Option<NonZeroU64> = inserted.commit_id();

    let result = peer.execute("SELECT * FROM c");
    let names: Vec<String> = result
        .into_iter()
        .map(|item| item.deserialize_value::<Row>().map(|row| row.name))
        .collect::<Result<_, DittoError>>()
        .unwrap();
    assert_eq!((names.len(), result.item_count()), (1, 1));
    for mut item in &result {
        let _: bool = item.is_materialized();
        item.materialize();
        item.dematerialize();
        let _: (Vec<u8>, String) = (item.cbor_data(), item.json_string());
    }
    let item: QueryResultItem = result.get_item(0).unwrap();
    let value: Arc<HashMap<Box<str>, CborValue>> = item.value();
    assert_eq!(value["name"].as_str(), Some("x"));
    assert_eq!(value.get("n").and_then(|n| n.as_i64()), Some(1));
    match &item.value()["n"] {
        CborValue::Integer(n) => assert_eq!(*n, 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(result.iter().count(), 1);
}

#[test]
fn getters_of_values() {
    let mut value = CborValue::from(json!({"a": [true, null, 1.5, -1, "t", {}]}));
    let key = String::from("a");
    let array: &[CborValue] = value.get("a").and_then(|a| a.as_array()).unwrap();
    assert_eq!((array.len(), value.get(&key).is_some(), value.get(0_usize).is_none()), (6, true, true));
    let at = |index: usize| value.get("a").and_then(|a| a.get(index)).unwrap();
    assert_eq!((at(0).as_bool(), at(1).as_null(), at(2).as_f64()), (Some(true), Some(()), Some(1.5)));
    assert_eq!((at(3).as_i64(), at(3).as_u64(), at(3).as_f64()), (Some(-1), None, None));
    let _: (Option<&str>, Option<&BTreeMap<CborValue, CborValue>>) = (at(4).as_str(), at(5).as_object());
    let _: Option<&mut BTreeMap<CborValue, CborValue>> = value.as_object_mut();
    let _: Option<&mut Vec<CborValue>> = value.get_mut("a").and_then(|a| a.as_array_mut());
}

#[test]
fn closures_of_observers_need_no_annotations() {
    fn observer<T: Eq + Hash + Send + Sync>() {}
    observer::<StoreObserver>();
    fn handler(_: impl ChangeHandler) {}
    fn paced(_: impl ChangeHandlerWithSignalNext) {}
    handler(|result| drop(result));
    paced(|result, signal_next| {
        drop(result);
        signal_next();
    });

    let peer = Peer::new();
    let store = peer.ditto.store();
    let mut seen = Vec::new();
    let first: Result<Arc<StoreObserver>, DittoError> =
        store.register_observer("SELECT * FROM c", move |result| {
            seen.push(result.item_count());
        });
    let second = store
        .register_observer_with_signal_next(
            ("SELECT * FROM c WHERE x = :x", json!({"x": 1})),
            move |result, signal_next| {
                let _: &dyn SignalNext = &signal_next;
                for item in result.into_iter() {
                    drop(item.value());
                }
                signal_next();
            },
        )
        .unwrap();
    let first = first.unwrap();
    let _: (String, Option<CborValue>, bool) =
        (second.query_string(), second.query_arguments(), second.is_cancelled());
    assert!(first != second && first == first.clone());
    {
        let observers = store.observers();
        let _: &dyn Deref<Target = SetArc<StoreObserver>> = &observers;
        assert_eq!(observers.keys.len(), 2);
        let some: &Arc<StoreObserver> = observers.keys.iter().next().unwrap().0;
        assert!(observers.contains(&**some) && observers.contains(some));
        let all: HashSet<&StoreObserver> = observers.keys.iter().map(|(observer, ())| &**observer).collect();
        assert!(all.contains(&*first) && all.contains(&*second));
    }
    #[expect(deprecated, reason = "it stays")]
    let third = store.register_observer_v2("SELECT * FROM c", |_| {}).unwrap();
    third.cancel();
}

#[test]
fn subscriptions_are_a_set() {
    fn subscription<T: Debug + Display + Eq + Ord + Hash + Send + Sync>() {}
    subscription::<SyncSubscription>();
    let peer = Peer::new();
    let sync: &dittolive_ditto::sync::Sync = peer.ditto.sync();
    let subscription: Arc<SyncSubscription> = sync.register_subscription("SELECT * FROM c").unwrap();
    let _ = sync.register_subscription(("SELECT * FROM c WHERE x = :x", json!({"x": 1}))).unwrap();
    let all: HashSet<SyncSubscription> = sync.subscriptions();
    assert!(all.len() == 2 && all.contains(&*subscription));
    let _: (String, Option<CborValue>) = (subscription.query_string(), subscription.query_arguments());
    let _: (Option<Vec<u8>>, Option<String>) =
        (subscription.query_arguments_cbor_data(), subscription.query_arguments_json_str());
    let _: fn(&dittolive_ditto::sync::Sync) -> Result<(), DittoError> = dittolive_ditto::sync::Sync::start;
    let _: fn(&dittolive_ditto::sync::Sync) = dittolive_ditto::sync::Sync::stop;
    let _: fn(&dittolive_ditto::sync::Sync) -> bool = dittolive_ditto::sync::Sync::is_active;
    subscription.cancel();
    assert!(subscription.is_cancelled());
    #[expect(deprecated, reason = "it stays")]
    let _ = (sync.register_subscription_v2("SELECT * FROM c").unwrap(), sync.subscriptions_v2());
}

#[test]
fn a_differ_takes_results_and_lists() {
    shared::<Differ>();
    fn moved<T: Copy + Debug + Ord + Hash + From<(usize, usize)>>() {}
    moved::<DiffMove>();
    let peer = Peer::new();
    let differ = Differ::new();
    let diff: Diff = differ.diff(&peer.execute("SELECT * FROM c"));
    assert_eq!(diff, Diff::empty());
    let Diff { insertions, deletions, updates, moves, .. } =
        Differ::default().diff(vec![QueryResultItem::unstable_try_from_serde_json_value(json!({})).unwrap()]);
    let _: (HashSet<usize>, HashSet<usize>, HashSet<usize>, HashSet<DiffMove>) =
        (insertions, deletions, updates, moves);
}

#[test]
fn ids_of_documents() {
    fn id<T: Debug + Clone + Default + Ord + Hash + Display + Serialize + DeserializeOwned + AsRef<[u8]>>() {}
    id::<DocumentId>();
    fn from<T: From<Vec<u8>> + From<Box<[u8]>> + for<'a> From<&'a [u8]> + for<'a> From<&'a DocumentId>>() {}
    from::<DocumentId>();
    fn find(id: impl Into<DocumentId>) -> DocumentId {
        id.into()
    }
    let id: DocumentId = DocumentId::new(&"it's").unwrap();
    assert_eq!(find(&id), id);
    assert_eq!(find(id.as_ref()), find(id.as_ref().to_vec()));
    let _: (CborValue, CborValue) = (id.value(), id.to_cbor());
    assert_eq!(id.to_query_compatible(StringPrimitiveFormat::WithoutQuotes), id.to_string());
    assert_eq!(id.to_query_compatible(StringPrimitiveFormat::WithQuotes), r"'it\'s'");

    let peer = Peer::new();
    let document = json!({"_id": id, "x": 1});
    let inserted = peer.execute(("INSERT INTO c DOCUMENTS (:d)", json!({"d": document})));
    assert_eq!(inserted.mutated_document_ids(), std::slice::from_ref(&id));
    assert_eq!(peer.execute(("SELECT * FROM c WHERE _id = :id", json!({"id": id}))).item_count(), 1);
}

#[test]
fn transport_configurations_are_literals() {
    fn config<T: Clone + Debug + Default + Eq + Serialize + DeserializeOwned>() {}
    config::<(PeerToPeer, BluetoothLEConfig, AwdlConfig, WifiAwareConfig, LanConfig)>();
    config::<(Connect, Listen, Global)>();
    let config = TransportConfig {
        peer_to_peer: PeerToPeer {
            lan: LanConfig { enabled: true, mdns_enabled: true, multicast_enabled: false },
            ..Default::default()
        },
        connect: Connect {
            tcp_servers: ["192.0.2.1:4040".to_owned()].into(),
            websocket_urls: HashSet::new(),
            retry_interval: Duration::from_millis(250),
        },
        listen: Listen {
            tcp: TcpListenConfig { enabled: true, interface_ip: "0.0.0.0".into(), port: 0 },
            http: HttpListenConfig { enabled: false, websocket_sync: true, ..HttpListenConfig::new() },
        },
        global: Global { sync_group: 1, routing_hint: 0 },
    };
    assert_eq!(serde_json::to_value(&config).unwrap()["connect"]["retry_interval"], json!(250));
    let _ = (BluetoothLEConfig::new(), LanConfig::new(), AwdlConfig::new(), WifiAwareConfig::new());
}

#[test]
fn log_levels_are_matched_without_a_wildcard() {
    let level: CLogLevel = LogLevel::Info;
    let number = match level {
        LogLevel::Error => 1,
        LogLevel::Warning => 2,
        LogLevel::Info => 3,
        LogLevel::Debug => 4,
        LogLevel::Verbose => 5,
    };
    assert_eq!(number, level as u8);
    let _: fn(bool) = DittoLogger::set_logging_enabled;
    let _: fn() -> bool = DittoLogger::get_logging_enabled;
    let _: fn(LogLevel) = DittoLogger::set_minimum_log_level;
    let _: fn() -> LogLevel = DittoLogger::get_minimum_log_level;
    let _ = || DittoLogger::set_custom_log_callback(|level, text| println!("{level:?} {text}"));
    let _: fn() = DittoLogger::clear_custom_log_callback;
}

#[test]
fn errors_convert_both_ways() {
    fn error<T: Error + Send + Sync + 'static>() {}
    error::<DittoError>();
    fn ours() -> DittoResult<()> {
        std::fs::read("/nowhere/at/all")?;
        Ok(())
    }
    fn theirs() -> Result<(), Box<dyn Error + Send + Sync>> {
        ours()?;
        Ok(())
    }
    fn other() -> Result<u8, DittoError> {
        Ok(serde_json::from_str("x")?)
    }
    assert_eq!(ours().unwrap_err().kind(), ErrorKind::IO);
    assert!(theirs().unwrap_err().downcast_ref::<DittoError>().is_some());
    assert_eq!(other().unwrap_err().kind(), ErrorKind::InvalidInput);
    fn from<T: From<ErrorKind> + From<i32> + From<std::num::NonZeroI32> + From<std::convert::Infallible>>() {}
    from::<DittoError>();
    fn joined<T: From<tokio::task::JoinError> + From<dittolive_ditto::cbor::CborError>>() {}
    joined::<DittoError>();
    let kind = DittoError::from(ErrorKind::CoreApi(CoreApiErrorKind::IoNotFound)).kind();
    assert!(matches!(kind, ErrorKind::CoreApi(CoreApiErrorKind::IoNotFound)));
    let _: (ErrorKind, String) = (kind, kind.to_string());
}
