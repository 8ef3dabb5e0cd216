//! Building the library from source, in a checkout of the repository.
//!
//! A cargo inside cargo: it has a target directory of its own, `dittoffi` inside the outer one, so that the two do not wait
//! for each other's lock; it always builds in release mode, because an application in development still wants a fast
//! database; and it does not get the environment of the build script that starts it, because build scripts of
//! dependencies watch those variables and would run again for each profile and command.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use crate::{
    artifact::Linkage, error::Error, fingerprint::Fingerprint, hygiene, place, provide::Provided,
    settings::Settings,
};

/// The repository that the package being built lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The checkout around the package; `None` for a package from a registry.
    pub fn around(settings: &Settings) -> Option<Self> {
        let root = settings.manifest_dir.parent()?;
        let present = ["Cargo.toml", "Cargo.lock", "dittoffi/Cargo.toml", "dittoffi/include/dittoffi.h"];
        present.iter().all(|path| root.join(path).is_file()).then(|| Self { root: root.to_owned() })
    }

    /// Builds the library, treats it and puts it into `OUT_DIR`.
    pub fn build(&self, settings: &Settings) -> Result<Provided, Error> {
        let target_directory = match settings.cargo_target_directory() {
            Some(outer) => outer.join("dittoffi"),
            None => settings.out_dir.join("dittoffi"),
        };
        self.run_cargo(settings, &target_directory)?;
        let directory = target_directory.join(settings.target.triple()).join("release");
        let built = directory.join(settings.file_name());
        let mut warnings = Vec::new();
        let ready = match settings.linkage {
            Linkage::Static => treated(settings, &built, &mut warnings)?,
            Linkage::Dynamic if built.is_file() => built,
            Linkage::Dynamic => {
                return Err(Error::Build {
                    command: "cargo build -p dittoffi".to_owned(),
                    output: format!(
                        "no {}: rustc makes no shared libraries for {} by default; link statically (LIBDITTO_STATIC=1)",
                        settings.file_name(),
                        settings.target
                    ),
                });
            }
        };
        Fingerprint::check(&ready, &settings.abi, &settings.target).map_err(|reason| Error::Build {
            command: "cargo build -p dittoffi".to_owned(),
            output: format!(
                "{} {reason}. The header and the bindings are out of step: run `cargo run -p ditto-bindings`",
                ready.display()
            ),
        })?;
        place::link_or_copy(&ready, &settings.out_dir.join(settings.file_name()))?;
        if let Some(import) = settings.import_library() {
            place::link_or_copy(&directory.join(import), &settings.out_dir.join(import))?;
        }
        Ok(Provided {
            directory: settings.out_dir.clone(),
            origin: format!("built from {}", self.root.display()),
            inputs: self.inputs(&directory.join("libdittoffi.d"))?,
            warnings,
        })
    }

    fn run_cargo(&self, settings: &Settings, target_directory: &Path) -> Result<(), Error> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .args(["build", "--release", "--locked", "--package", "dittoffi", "--lib"])
            // Even for the host: it keeps flags for build scripts apart and the output path the same.
            .args(["--target", settings.target.triple()])
            .arg("--target-dir")
            .arg(target_directory);
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_outer_build(name)) {
            command.env_remove(name);
        }
        if let Some(flags) = env::var_os("DITTOFFI_RUSTFLAGS") {
            command.env("RUSTFLAGS", flags);
        }
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let shown = format!("cargo {} (in {})", arguments.join(" "), self.root.display());
        let output = command.output().map_err(Error::io(format!("run `{shown}`")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Build { command: shown, output: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    /// What the library was made from: the sources of cargo's own list, and what decides about features and versions.
    fn inputs(&self, dependency_info: &Path) -> Result<Vec<PathBuf>, Error> {
        let text = fs::read_to_string(dependency_info).map_err(Error::reading(dependency_info))?;
        let mut inputs = vec![self.root.join("Cargo.toml"), self.root.join("Cargo.lock")];
        for source in prerequisites(&text) {
            // The manifest of each package that a source belongs to.
            let manifest =
                source.ancestors().map(|directory| directory.join("Cargo.toml")).find(|path| path.is_file());
            inputs.extend(manifest.filter(|manifest| manifest.starts_with(&self.root)));
            inputs.push(source);
        }
        inputs.sort();
        inputs.dedup();
        Ok(inputs)
    }
}

/// The treated form of `raw`, made anew when `raw` has changed.
fn treated(settings: &Settings, raw: &Path, warnings: &mut Vec<String>) -> Result<PathBuf, Error> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Some(objcopy) = hygiene::find_objcopy(&rustc, &settings.host) else {
        warnings.push(
            "neither rust-objcopy (part of every rustup toolchain) nor llvm-objcopy was found, so the symbols of \
             libdittoffi keep their names; a program that fails to link with duplicate symbols needs one of them, or \
             LIBDITTO_STATIC=0"
                .to_owned(),
        );
        return Ok(raw.to_owned());
    };
    let directory = raw.with_file_name("treated");
    fs::create_dir_all(&directory).map_err(Error::writing(&directory))?;
    let treated = directory.join(settings.file_name());
    let stamp = directory.join("made-from");
    let source = state_of(raw)?;
    if !treated.is_file() || fs::read_to_string(&stamp).ok() != Some(source.clone()) {
        hygiene::treat(raw, &treated, &settings.target, &objcopy)?;
        place::write(&stamp, source.as_bytes())?;
    }
    Ok(treated)
}

/// What changes when a file is written anew.
fn state_of(path: &Path) -> Result<String, Error> {
    let metadata = fs::metadata(path).map_err(Error::reading(path))?;
    let modified = metadata.modified().map_err(Error::reading(path))?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} bytes, {} ns, version {}", metadata.len(), since.as_nanos(), crate::VERSION))
}

/// The files after the colon of a make rule in one line, where a space in a name is written `\ `.
fn prerequisites(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let mut names = vec![String::new()];
    let mut characters = files.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek(), names.last_mut()) {
            ('\\', Some(' '), Some(name)) => {
                name.push(' ');
                characters.next();
            }
            (' ', _, _) => names.push(String::new()),
            (other, _, Some(name)) => name.push(other),
            (_, _, None) => {}
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// Whether cargo, rustup or clippy set a variable for the outer build. What steers compilers, proxies and caches stays,
/// and so does `CARGO_MAKEFLAGS`: the two cargos share one pool of jobs.
fn is_of_outer_build(name: &OsStr) -> bool {
    const EXACT: &[&str] = &[
        "CARGO_BUILD_BUILD_DIR",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_DIR",
        "CARGO_TARGET_TMPDIR",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "TARGET",
    ];
    const PREFIXES: &[&str] = &["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_MANIFEST_", "CARGO_PKG_", "DEP_"];
    name.to_str()
        .is_some_and(|name| EXACT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_leaves_the_environment_and_compilers_stay() {
        for name in ["OUT_DIR", "CARGO_PKG_NAME", "CARGO_CFG_UNIX", "RUSTFLAGS", "DEP_Z_INCLUDE", "RUSTC"] {
            assert!(is_of_outer_build(OsStr::new(name)), "{name}");
        }
        for name in [
            "PATH",
            "CARGO",
            "CARGO_HOME",
            "CARGO_MAKEFLAGS",
            "RUSTC_WRAPPER",
            "CC_aarch64_unknown_linux_gnu",
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "https_proxy",
        ] {
            assert!(!is_of_outer_build(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn names_with_spaces_are_read_from_dependency_info() {
        let rule = "/t/libdittoffi.a: /w/a.rs /w/with\\ space/b.rs C:\\w\\c.rs\n";
        let expected: Vec<PathBuf> =
            ["/w/a.rs", "/w/with space/b.rs", "C:\\w\\c.rs"].map(PathBuf::from).into();
        assert_eq!(prerequisites(rule), expected);
        assert!(prerequisites("").is_empty());
    }
}
