//! The library files that the build of this test made.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ditto_build_support::{Linkage, Target, hygiene};

/// All forms of the library, for this machine.
pub struct Libraries {
    /// As rustc makes it.
    pub raw: PathBuf,
    /// With its own symbols renamed.
    pub treated: PathBuf,
    pub shared: PathBuf,
    pub target: Target,
    pub objcopy: OsString,
}

pub fn libraries() -> &'static Libraries {
    static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let directory = Path::new(env!("DITTOFFI_LIBDIR"));
        let outer = directory
            .ancestors()
            .find(|directory| directory.join("CACHEDIR.TAG").is_file())
            .expect("these tests need the library to be built from source: unset DITTOFFI_SEARCH_PATH");
        let target = Target::new(host());
        let built = outer.join("dittoffi").join(target.triple()).join("release");
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let objcopy =
            hygiene::find_objcopy(&rustc, &target).expect("rust-objcopy is part of every rustup toolchain");
        let raw = built.join(target.file_name(Linkage::Static));
        let treated = scratch("libraries").join(target.file_name(Linkage::Static));
        hygiene::treat(&raw, &treated, &target, &objcopy).unwrap();
        Libraries { raw, treated, shared: built.join(target.file_name(Linkage::Dynamic)), target, objcopy }
    })
}

/// A directory for that purpose inside the cargo target directory.
pub fn scratch(purpose: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linkage").join(purpose);
    fs::create_dir_all(&directory).unwrap();
    directory
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn host() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}
