//! What the environment of a build script says.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{
    artifact::{Linkage, Target},
    error::Error,
};

/// Environment variables that change which library is linked.
pub const VARIABLES: &[&str] = &[
    LINKAGE,
    SEARCH_PATH,
    DOWNLOAD_BASE,
    "DITTOFFI_OFFLINE",
    "CARGO_NET_OFFLINE",
    AMEND_WITH,
    "DITTOFFI_RUSTFLAGS",
];
const LINKAGE: &str = "LIBDITTO_STATIC";
pub(crate) const SEARCH_PATH: &str = "DITTOFFI_SEARCH_PATH";
pub(crate) const DOWNLOAD_BASE: &str = "DITTOFFI_DOWNLOAD_BASE";
const AMEND_WITH: &str = "LIBDITTO_STATIC_AMEND_WITH";

/// Everything that decides which library is linked, read once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to link.
    pub linkage: Linkage,
    /// What to link for.
    pub target: Target,
    /// Where the compiler runs.
    pub host: Target,
    /// The fingerprint of the bindings, 32 hexadecimal digits.
    pub abi: String,
    /// Where the build script may write.
    pub out_dir: PathBuf,
    /// The package whose build script this is.
    pub manifest_dir: PathBuf,
    /// `debug` or `release`, of the program that is built.
    pub profile: String,
    /// The directories of `DITTOFFI_SEARCH_PATH`.
    pub search_path: Option<Vec<PathBuf>>,
    /// The directory that cargo was started in.
    pub working_directory: Option<PathBuf>,
    /// Library directories of the system, for programs of the host.
    pub system_directories: Vec<PathBuf>,
    /// Where to download from.
    pub download_base: Option<String>,
    /// Never dial.
    pub offline: bool,
    /// What treats a raw static library.
    pub amend_with: Option<OsString>,
}

impl Settings {
    /// The settings of the build script that is running, for bindings with the fingerprint `abi`.
    pub fn from_environment(abi: &str) -> Result<Self, Error> {
        Self::read(abi, &|name| env::var_os(name))
    }

    /// The settings that `variable` gives.
    pub(crate) fn read(abi: &str, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let text = |name: &'static str| -> Result<Option<String>, Error> {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(|value| value.into_string()).transpose().map_err(|value| Error::Variable {
                name,
                problem: format!("must be text, found {}", Path::new(&value).display()),
            })
        };
        let required = |name: &'static str| -> Result<String, Error> {
            text(name)?.ok_or_else(|| Error::Variable {
                name,
                problem: "is not set: this runs in a build script, where cargo sets it".to_owned(),
            })
        };
        let set = |name: &'static str| -> Result<bool, Error> {
            match text(name)?.as_deref() {
                None | Some("0" | "false") => Ok(false),
                Some("1" | "true") => Ok(true),
                Some(other) => {
                    Err(Error::Variable { name, problem: format!("must be 0 or 1, found `{other}`") })
                }
            }
        };
        let linkage = match variable(LINKAGE) {
            None => Linkage::Static,
            Some(value) if value == "1" => Linkage::Static,
            Some(value) if value == "0" => Linkage::Dynamic,
            Some(value) => {
                return Err(Error::Variable {
                    name: LINKAGE,
                    problem: format!(
                        "must be 1 (link statically), 0 (dynamically) or unset (statically), found `{}`",
                        Path::new(&value).display()
                    ),
                });
            }
        };
        let target = Target::new(required("TARGET")?);
        let host = Target::new(required("HOST")?);
        if linkage == Linkage::Dynamic && target.is_wasm() {
            return Err(Error::Variable {
                name: LINKAGE,
                problem: format!("is 0, but {target} has no shared libraries: unset it to link statically"),
            });
        }
        Ok(Self {
            linkage,
            abi: abi.to_owned(),
            out_dir: required("OUT_DIR")?.into(),
            manifest_dir: required("CARGO_MANIFEST_DIR")?.into(),
            profile: required("PROFILE")?,
            search_path: variable(SEARCH_PATH).map(|path| env::split_paths(&path).collect()),
            working_directory: variable("PWD").map(PathBuf::from),
            system_directories: system_directories(&host),
            target,
            host,
            download_base: text(DOWNLOAD_BASE)?,
            offline: set("DITTOFFI_OFFLINE")? || set("CARGO_NET_OFFLINE")?,
            amend_with: variable(AMEND_WITH).filter(|objcopy| !objcopy.is_empty()),
        })
    }

    /// The file to look for.
    pub fn file_name(&self) -> &'static str {
        self.target.file_name(self.linkage)
    }

    /// The file that the linker needs beside it.
    pub fn import_library(&self) -> Option<&'static str> {
        self.target.import_library().filter(|_| self.linkage == Linkage::Dynamic)
    }

    /// The cargo target directory that is being built in: the ancestor of `OUT_DIR` that cargo tagged.
    pub fn cargo_target_directory(&self) -> Option<&Path> {
        self.out_dir.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file())
    }
}

/// Where the system of `host` keeps libraries, local ones first. Directories that it does not have are passed over.
fn system_directories(host: &Target) -> Vec<PathBuf> {
    let triple = host.triple();
    let directories: &[&str] = if host.is_windows() || host.is_wasm() {
        &[]
    } else if host.is_apple() {
        &["/usr/local/lib", "/opt/homebrew/lib", "/usr/lib"]
    } else {
        &["/usr/local/lib", "/usr/local/lib64"]
    };
    let mut directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    if triple.contains("-linux-") {
        // Debian's directories are named by architecture.
        let architecture = match triple.split('-').next().unwrap_or_default() {
            "riscv64gc" => "riscv64",
            arm if arm.starts_with("arm") || arm.starts_with("thumb") => "arm",
            x86 if x86.starts_with('i') && x86.ends_with("86") => "i386",
            other => other,
        };
        let abi = triple.rsplit('-').next().unwrap_or_default();
        directories.push(format!("/usr/lib/{architecture}-linux-{abi}").into());
        directories.push("/usr/lib64".into());
    }
    if !host.is_windows() && !host.is_wasm() && !host.is_apple() {
        directories.push("/usr/lib".into());
    }
    directories
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const CARGO: &[(&str, &str)] = &[
        ("TARGET", "x86_64-unknown-linux-gnu"),
        ("HOST", "x86_64-unknown-linux-gnu"),
        ("OUT_DIR", "/target/debug/build/x/out"),
        ("CARGO_MANIFEST_DIR", "/sys"),
        ("PROFILE", "debug"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::read("abi", &|name| {
            let found = CARGO.iter().chain(more).rfind(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn linkage_is_static_unless_told_otherwise() {
        assert_eq!(read(&[]).unwrap().linkage, Linkage::Static);
        assert_eq!(read(&[("LIBDITTO_STATIC", "1")]).unwrap().linkage, Linkage::Static);
        assert_eq!(read(&[("LIBDITTO_STATIC", "0")]).unwrap().linkage, Linkage::Dynamic);
        for wrong in ["", "yes", "true", "2", " 1"] {
            let message = read(&[("LIBDITTO_STATIC", wrong)]).unwrap_err().to_string();
            assert!(
                message.contains("LIBDITTO_STATIC") && message.contains(&format!("`{wrong}`")),
                "{message}"
            );
        }
    }

    #[test]
    fn offline_is_a_switch() {
        assert!(!read(&[]).unwrap().offline);
        assert!(read(&[("DITTOFFI_OFFLINE", "1")]).unwrap().offline);
        assert!(read(&[("CARGO_NET_OFFLINE", "true")]).unwrap().offline);
        assert!(!read(&[("DITTOFFI_OFFLINE", "0")]).unwrap().offline);
        assert!(read(&[("DITTOFFI_OFFLINE", "perhaps")]).is_err());
    }

    #[test]
    fn the_search_path_is_split_as_path_is() {
        assert_eq!(read(&[]).unwrap().search_path, None);
        let joined = env::join_paths(["/a", "/b c"]).unwrap().into_string().unwrap();
        let settings = read(&[("DITTOFFI_SEARCH_PATH", &joined)]).unwrap();
        assert_eq!(settings.search_path, Some(vec![PathBuf::from("/a"), PathBuf::from("/b c")]));
    }

    #[test]
    fn webassembly_is_linked_statically() {
        let target = ("TARGET", "wasm32-unknown-unknown");
        assert!(read(&[target]).is_ok());
        let message = read(&[target, ("LIBDITTO_STATIC", "0")]).unwrap_err().to_string();
        assert!(message.contains("wasm32") && message.contains("LIBDITTO_STATIC"), "{message}");
    }

    #[test]
    fn systems_keep_libraries_where_they_do() {
        let has = |host: &str, directory: &str| {
            system_directories(&Target::new(host)).contains(&PathBuf::from(directory))
        };
        assert!(has("x86_64-unknown-linux-gnu", "/usr/lib/x86_64-linux-gnu"));
        assert!(has("armv7-unknown-linux-gnueabihf", "/usr/lib/arm-linux-gnueabihf"));
        assert!(has("riscv64gc-unknown-linux-gnu", "/usr/lib/riscv64-linux-gnu"));
        assert!(has("i686-unknown-linux-gnu", "/usr/lib/i386-linux-gnu"));
        assert!(has("aarch64-apple-darwin", "/opt/homebrew/lib"));
        assert!(has("x86_64-unknown-freebsd", "/usr/lib") && !has("x86_64-unknown-freebsd", "/usr/lib64"));
        assert!(system_directories(&Target::new("x86_64-pc-windows-msvc")).is_empty());
    }

    #[test]
    fn outside_a_build_script_the_error_says_so() {
        let message = Settings::read("abi", &|_| None).unwrap_err().to_string();
        assert!(message.contains("TARGET") && message.contains("build script"), "{message}");
    }
}
