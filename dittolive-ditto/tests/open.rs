//! Opening, configuring and closing an instance.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic that it failed")]

mod support;

use std::{sync::Arc, thread};

use dittolive_ditto::{
    error::{CoreApiErrorKind, ErrorKind},
    prelude::*,
};
use futures::executor::block_on;
use serde_json::json;

use self::support::{Peer, config};

#[test]
fn an_instance_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Ditto>();
    shared::<Store>();
    let peer = Arc::new(Peer::new());
    let other = peer.clone();
    thread::spawn(move || other.execute("INSERT INTO c DOCUMENTS ({'_id': 1})")).join().unwrap();
    assert_eq!(peer.rows("SELECT * FROM c"), [r#"{"_id":1}"#]);
}

#[test]
fn a_directory_is_open_once_and_again_after_closing() {
    let Peer { root, ditto } = Peer::new();
    let error = Ditto::open_sync(config(&root, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CoreApi(CoreApiErrorKind::LockedDittoWorkingDirectory));
    assert!(error.to_string().contains(root.root_path().to_str().unwrap()), "{error}");
    block_on(ditto.store().execute("INSERT INTO c DOCUMENTS ({'_id': 'kept'})")).unwrap();
    ditto.close();

    let peer = thread::spawn(move || {
        let ditto = block_on(Ditto::open(config(&root, None))).unwrap();
        Peer { ditto, root }
    });
    assert_eq!(peer.join().unwrap().rows("SELECT * FROM c"), [r#"{"_id":"kept"}"#]);
}

#[test]
fn handles_that_outlive_the_instance_answer_with_errors() {
    let Peer { root: _root, ditto } = Peer::new();
    let store = ditto.store().clone();
    let observer = store.register_observer("SELECT * FROM c", |_| {}).unwrap();
    let subscription = ditto.sync().register_subscription("SELECT * FROM c").unwrap();
    drop(ditto);
    assert_eq!(
        block_on(store.execute("SELECT * FROM c")).unwrap_err().kind(),
        ErrorKind::ReleasedDittoInstance
    );
    let error = store.register_observer("SELECT * FROM c", |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReleasedDittoInstance);
    assert!(observer.is_cancelled() && subscription.is_cancelled());
    observer.cancel();
    subscription.cancel();
    assert!(store.observers().is_empty());
}

#[test]
fn the_configuration_in_effect_has_an_absolute_directory() {
    let Peer { root, ditto } = Peer::new();
    let directory = ditto.absolute_persistence_directory();
    assert!(directory.is_absolute() && directory.starts_with(root.root_path()));
    assert_eq!(ditto.config().persistence_directory, Some(directory));
    assert_eq!(ditto.app_id().as_str(), "tests");
}

#[test]
fn system_parameters_are_set_and_wrong_ones_are_named() {
    let root = TempRoot::new();
    let mut wrong = config(&root, None);
    wrong.system_parameters.insert("NO_SUCH_PARAMETER".into(), json!(1));
    let error = Ditto::open_sync(wrong).unwrap_err();
    assert!(error.to_string().to_uppercase().contains("NO_SUCH_PARAMETER"), "{error}");

    let mut right = config(&root, None);
    right.system_parameters.insert("DQL_STRICT_MODE".into(), json!(true));
    let peer = Peer { ditto: Ditto::open_sync(right).unwrap(), root };
    let shown = peer.execute("SHOW DQL_STRICT_MODE").get_item(0).unwrap().value();
    assert!(shown.values().any(|value| value.as_bool() == Some(true)), "{shown:?}");
}

#[test]
fn what_cannot_be_opened_is_an_error_that_says_why() {
    let root = TempRoot::new();
    let server = DittoConfigConnect::Server { url: "https://example.com".parse().unwrap() };
    let error = Ditto::open_sync(DittoConfig::new("not-a-uuid", server)).unwrap_err();
    assert!(error.to_string().contains("not-a-uuid"), "{error}");

    let file = root.root_path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let connect = DittoConfigConnect::SmallPeersOnly { private_key: None };
    let error =
        Ditto::open_sync(DittoConfig::new("x", connect).with_persistence_directory(&file)).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
}

#[test]
fn a_license_is_never_needed_and_garbage_is_refused() {
    let Peer { root: _root, ditto } = Peer::new();
    assert!(ditto.is_activated());
    ditto.set_offline_only_license_token("o2d1c2VyX2lk").unwrap();
    assert_eq!(ditto.set_offline_only_license_token("?!").unwrap_err().kind(), ErrorKind::License);
    assert_eq!(ditto.set_license_from_env("DITTO_NO_SUCH").unwrap_err().kind(), ErrorKind::Config);
    ditto.disable_sync_with_v3().unwrap();
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(Ditto::version(), env!("CARGO_PKG_VERSION"));
    Ditto::with_sdk_version(|version| assert_eq!(version, Ditto::version()));
}

#[test]
fn the_transport_configuration_is_what_was_set() {
    let Peer { root: _root, ditto } = Peer::new();
    let mut config = TransportConfig::new();
    config.connect.tcp_servers.insert("192.0.2.1:4040".into());
    config.global.sync_group = 7;
    ditto.set_transport_config(config.clone());
    assert_eq!(ditto.transport_config(), config);
    ditto.update_transport_config(|config| config.connect.tcp_servers.clear());
    assert!(ditto.transport_config().connect.tcp_servers.is_empty());
}
