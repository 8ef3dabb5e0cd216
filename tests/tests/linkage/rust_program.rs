//! A Rust program outside the repository, with copies of the packages that it would have from a registry, so that nothing
//! is built from source.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard},
    thread,
};

use ditto_build_support::{Linkage, download::sha256, serve::serve};

use crate::library::{libraries, repository, scratch};

const PACKAGES: &[&str] = &["build-support", "dittolive-ditto-sys"];

const PROGRAM: &str = r#"[package]
name = "program"
edition.workspace = true

[dependencies]
dittolive-ditto-sys = { workspace = true, features = ["download"] }
"#;

/// The program's workspace. One at a time: all share a target directory, and so `OUT_DIR`.
struct Workspace {
    root: PathBuf,
    environment: Vec<(&'static str, String)>,
    _alone: MutexGuard<'static, ()>,
}

impl Workspace {
    fn new() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let root = scratch("workspace");
        for package in PACKAGES {
            copy(&repository().join(package), &root.join(package));
        }
        put(&root.join("program/Cargo.toml"), PROGRAM.as_bytes());
        put(&root.join("program/src/main.rs"), include_bytes!("program.rs"));
        let manifest = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
        put(&root.join("Cargo.toml"), members(&manifest).as_bytes());
        put(&root.join("Cargo.lock"), &fs::read(repository().join("Cargo.lock")).unwrap());
        for name in ["libdittoffi.a", "libdittoffi.so"] {
            let _ = fs::remove_file(root.join(name));
        }
        let workspace = Self { root, environment: Vec::new(), _alone: alone };
        // What an earlier test left in OUT_DIR would be found first.
        let cleaned = workspace.cargo(&["clean", "--package", "dittolive-ditto-sys"]);
        assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
        workspace
    }

    fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).arg("--offline").current_dir(&self.root).env("PWD", &self.root);
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            // The outer test's: they would be this program's.
            if name.starts_with("DITTOFFI_")
                || name.starts_with("LIBDITTO_")
                || name.starts_with("CARGO_TARGET_DIR")
            {
                command.env_remove(&*name);
            }
        }
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH", "CARGO_MAKEFLAGS"] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    }

    fn runs(&self) {
        let output = self.cargo(&["run", "--package", "program"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.ends_with(b"linked\n"), "{errors}");
    }

    /// What the build script says when it fails.
    fn is_refused(&self) -> String {
        let output = self.cargo(&["build", "--package", "program"]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The workspace's manifest with other members and without patches, which would have no use.
fn members(manifest: &str) -> String {
    let mut text =
        "[workspace]\nresolver = \"3\"\nmembers = [\"build-support\", \"dittolive-ditto-sys\", \"program\"]\n".to_owned();
    let mut wanted = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            wanted = !line.starts_with("[workspace]") && !line.starts_with("[patch");
        }
        if wanted {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Writes what is not there already: cargo looks at times.
fn put(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            put(&to, &fs::read(entry.path()).unwrap());
        }
    }
}

/// A directory with one file in it.
fn directory_with(purpose: &str, library: &Path) -> PathBuf {
    let directory = scratch(purpose);
    fs::copy(library, directory.join(library.file_name().unwrap())).unwrap();
    directory
}

/// Serves a tree in which `library` can be downloaded; returns the base. `damage` is done to what is served.
fn mirror(purpose: &str, library: &Path, linkage: Linkage, damage: impl FnOnce(&mut Vec<u8>)) -> String {
    let root = scratch(purpose);
    let target = &libraries().target;
    let release =
        root.join("rust/Ditto").join(ditto_build_support::VERSION).join(target.triple()).join("release");
    fs::create_dir_all(&release).unwrap();
    let name = target.file_name(linkage);
    fs::write(release.join(format!("{name}.sha256")), sha256(library).unwrap()).unwrap();
    let mut bytes = fs::read(library).unwrap();
    damage(&mut bytes);
    fs::write(release.join(name), bytes).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || serve(&listener, &root, |_| {}));
    base
}

#[test]
fn a_static_library_on_the_search_path_is_linked() {
    let directory = directory_with("static", &libraries().treated);
    Workspace::new().set("DITTOFFI_SEARCH_PATH", directory.display()).runs();
}

#[test]
fn a_shared_library_on_the_search_path_is_linked_and_found_at_run_time() {
    let directory = directory_with("shared", &libraries().shared);
    Workspace::new().set("LIBDITTO_STATIC", 0).set("DITTOFFI_SEARCH_PATH", directory.display()).runs();
}

#[test]
fn a_static_library_in_the_working_directory_is_linked() {
    let workspace = Workspace::new().set("LIBDITTO_STATIC", 1);
    fs::copy(&libraries().treated, workspace.root.join("libdittoffi.a")).unwrap();
    workspace.runs();
}

#[test]
fn a_raw_static_library_is_amended_and_then_links_with_lto() {
    let directory = directory_with("raw", &libraries().raw);
    Workspace::new()
        .set("DITTOFFI_SEARCH_PATH", directory.display())
        .set("LIBDITTO_STATIC_AMEND_WITH", libraries().objcopy.display())
        .set("CARGO_PROFILE_DEV_LTO", "fat")
        .runs();
}

#[test]
fn a_static_library_is_downloaded() {
    let base = mirror("mirror-static", &libraries().treated, Linkage::Static, |_| {});
    Workspace::new().set("DITTOFFI_DOWNLOAD_BASE", base).runs();
}

#[test]
fn a_shared_library_is_downloaded_and_found_at_run_time() {
    let base = mirror("mirror-shared", &libraries().shared, Linkage::Dynamic, |_| {});
    Workspace::new().set("LIBDITTO_STATIC", 0).set("DITTOFFI_DOWNLOAD_BASE", base).runs();
}

#[test]
fn a_damaged_download_is_refused() {
    let base = mirror("mirror-damaged", &libraries().treated, Linkage::Static, |bytes| bytes.reverse());
    let message = Workspace::new().set("DITTOFFI_DOWNLOAD_BASE", &base).is_refused();
    assert!(message.contains("SHA-256") && message.contains(&base), "{message}");
}

#[test]
fn without_a_library_every_place_is_named() {
    let message = Workspace::new().set("DITTOFFI_OFFLINE", 1).is_refused();
    for part in
        ["(OUT_DIR)", "(PWD)", "(cargo target directory)", "(system)", "DITTOFFI_DOWNLOAD_BASE is not set"]
    {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
}

#[test]
fn a_search_path_without_a_library_is_an_error() {
    let workspace = Workspace::new();
    fs::copy(&libraries().treated, workspace.root.join("libdittoffi.a")).unwrap();
    let message = workspace.set("DITTOFFI_SEARCH_PATH", "/nowhere").is_refused();
    assert!(message.contains("/nowhere") && message.contains("nothing else was tried"), "{message}");
}

#[test]
fn a_linkage_that_means_nothing_is_an_error() {
    let message = Workspace::new().set("LIBDITTO_STATIC", "maybe").is_refused();
    assert!(message.contains("LIBDITTO_STATIC must be 1") && message.contains("`maybe`"), "{message}");
}
