//! The search order, with files that only look like libraries.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::Target;

const ABI: &str = "0123456789abcdef0123456789abcdef";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A machine in a directory: every place of the search, all empty.
struct Machine {
    root: TempDir,
    settings: Settings,
}

impl Machine {
    fn new(linkage: Linkage) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let settings = Settings {
            linkage,
            target: Target::new(TARGET),
            host: Target::new(TARGET),
            abi: ABI.to_owned(),
            out_dir: path("target/debug/build/sys/out"),
            manifest_dir: path("registry/sys"),
            profile: "debug".to_owned(),
            search_path: None,
            working_directory: Some(path("work")),
            system_directories: vec![path("usr/local/lib"), path("usr/lib")],
            download_base: None,
            offline: false,
            amend_with: None,
        };
        fs::write(root.path().join("target/CACHEDIR.TAG"), "").unwrap();
        path("target/debug/deps");
        path("target/x86_64-unknown-linux-gnu/debug");
        Self { root, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts a library there.
    fn put(&self, directory: &str, abi: &str, target: &str) -> PathBuf {
        let path = self.path(directory).join(self.settings.file_name());
        fs::create_dir_all(self.path(directory)).unwrap();
        fs::write(&path, format!("…DITTOFFI_ABI_FINGERPRINT={abi};TARGET={target};…")).unwrap();
        path
    }

    fn put_good(&self, directory: &str) -> PathBuf {
        self.put(directory, ABI, TARGET)
    }

    fn found(&self) -> PathBuf {
        provide(&self.settings).unwrap().directory
    }

    fn refused(&self) -> String {
        provide(&self.settings).unwrap_err().to_string()
    }
}

#[test]
fn places_are_tried_in_order() {
    let machine = Machine::new(Linkage::Static);
    // From the last to the first: each new one beats all before.
    for place in [
        "usr/lib",
        "usr/local/lib",
        "target/debug",
        "target/x86_64-unknown-linux-gnu/debug",
        "work",
        "target/debug/build/sys/out",
    ] {
        machine.put_good(place);
        assert_eq!(machine.found(), machine.path(place));
    }
}

#[test]
fn the_search_path_beats_all_and_is_strict() {
    let mut machine = Machine::new(Linkage::Static);
    machine.put_good("target/debug/build/sys/out");
    machine.put_good("second");
    machine.settings.search_path = Some(vec![machine.path("first"), PathBuf::new(), machine.path("second")]);
    assert_eq!(machine.found(), machine.path("second"));

    machine.put("second", &ABI.replace('0', "f"), TARGET);
    let message = machine.refused();
    for part in ["first", "no such directory", "second", "ABI fingerprint f123", "nothing else was tried"] {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
    assert!(!message.contains("OUT_DIR"), "{message}");
}

#[test]
fn an_empty_search_path_is_an_error() {
    let mut machine = Machine::new(Linkage::Static);
    machine.put_good("work");
    machine.settings.search_path = Some(Vec::new());
    assert!(machine.refused().contains("names no directory"));
}

#[test]
fn what_does_not_fit_is_passed_over() {
    let machine = Machine::new(Linkage::Static);
    machine.put("target/debug/build/sys/out", &ABI.replace('0', "f"), TARGET);
    machine.put("work", ABI, "aarch64-unknown-linux-gnu");
    fs::write(machine.path("target/debug").join(machine.settings.file_name()), "!<arch>\n").unwrap();
    machine.put_good("usr/lib");
    assert_eq!(machine.found(), machine.path("usr/lib"));
}

#[test]
fn a_refusal_lists_every_place_with_its_reason() {
    let machine = Machine::new(Linkage::Static);
    machine.put("target/debug/build/sys/out", &ABI.replace('0', "f"), TARGET);
    machine.put("work", ABI, "aarch64-unknown-linux-gnu");
    fs::write(machine.path("target/debug").join(machine.settings.file_name()), "!<arch>\n").unwrap();
    fs::write(machine.path("usr/lib/libdittoffi.so"), "").unwrap();
    let message = machine.refused();
    for part in [
        "libdittoffi.a (static library for x86_64-unknown-linux-gnu",
        "(OUT_DIR): has the ABI fingerprint f123",
        "(PWD): was built for aarch64-unknown-linux-gnu",
        "(cargo target directory): there is no such file",
        "(cargo target directory): has 8 bytes and no ABI fingerprint",
        "(system): there is no such file",
        "LIBDITTO_STATIC=0 would link that",
        "DITTOFFI_DOWNLOAD_BASE",
        "DITTOFFI_SEARCH_PATH",
    ] {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
}

#[test]
fn another_target_finds_nothing_in_the_system_of_the_host() {
    let mut machine = Machine::new(Linkage::Static);
    machine.settings.target = Target::new("aarch64-unknown-linux-gnu");
    machine.put("usr/lib", ABI, "aarch64-unknown-linux-gnu");
    machine.put("target/debug", ABI, "aarch64-unknown-linux-gnu");
    let message = machine.refused();
    assert!(!message.contains("(system)"), "{message}");
    machine.put("target/aarch64-unknown-linux-gnu/debug", ABI, "aarch64-unknown-linux-gnu");
    assert_eq!(machine.found(), machine.path("target/aarch64-unknown-linux-gnu/debug"));
}

#[test]
fn a_shared_library_is_brought_to_where_cargo_tells_the_loader() {
    let machine = Machine::new(Linkage::Dynamic);
    let path = machine.put_good("usr/lib");
    let provided = provide(&machine.settings).unwrap();
    assert_eq!(provided.directory, machine.settings.out_dir);
    assert_eq!(fs::read(machine.settings.out_dir.join("libdittoffi.so")).unwrap(), fs::read(&path).unwrap());
    assert_eq!(provided.inputs, [path]);
}

#[test]
fn a_dll_comes_with_its_import_library() {
    let mut machine = Machine::new(Linkage::Dynamic);
    let msvc = Target::new("x86_64-pc-windows-msvc");
    (machine.settings.target, machine.settings.host) = (msvc.clone(), msvc);
    machine.put("work", ABI, "x86_64-pc-windows-msvc");
    let message = machine.refused();
    assert!(message.contains("there is no dittoffi.dll.lib beside it"), "{message}");
    fs::write(machine.path("work/dittoffi.dll.lib"), "import").unwrap();
    let provided = provide(&machine.settings).unwrap();
    assert_eq!(provided.directory, machine.settings.out_dir);
    assert_eq!(fs::read(machine.settings.out_dir.join("dittoffi.dll.lib")).unwrap(), b"import");
    let text = crate::directives::directives(&machine.settings, &provided);
    assert!(text.lines().any(|line| line == "cargo:rustc-link-lib=dylib=dittoffi.dll"), "{text}");
}

#[test]
fn cargo_is_told_to_link_and_when_to_look_again() {
    let machine = Machine::new(Linkage::Static);
    let path = machine.put_good("work");
    let provided = provide(&machine.settings).unwrap();
    let text = crate::directives::directives(&machine.settings, &provided);
    for line in [
        "cargo:rerun-if-env-changed=LIBDITTO_STATIC".to_owned(),
        format!("cargo:rerun-if-changed={}", path.display()),
        format!("cargo:rustc-link-search=native={}", machine.path("work").display()),
        "cargo:rustc-link-lib=static:-bundle=dittoffi".to_owned(),
        format!("cargo:libdir={}", machine.path("work").display()),
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` in:\n{text}");
    }
}
