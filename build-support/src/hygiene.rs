//! Makes a Rust static library safe to link into any program.
//!
//! A Rust `staticlib` brings its own copy of the standard library, and of every crate it uses. Their symbols clash with
//! those of a Rust program that links it (`duplicate symbol: rust_eh_personality`), or worse, are shared by luck. So every
//! global symbol other than `dittoffi_*` is renamed. The new name is the old one with a *suffix* that begins with a dot:
//! backtraces still demangle it. The sections with LLVM bitcode go, as another LLVM would try to read them.
//!
//! Renaming is done by `objcopy`. `rust-objcopy` comes with every Rust toolchain.

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    archive::{self, Symbol},
    artifact::Target,
    error::Error,
    place,
};

/// What every renamed symbol has after its old name and before the version.
const SUFFIX: &str = ".dittoffi";

/// Whether every symbol but the library's own has been renamed.
pub fn is_treated(archive: &[u8], target: &Target) -> Result<bool, Error> {
    Ok(raw_names(archive, target)?.is_empty())
}

/// Writes `raw`, with all but the library's own symbols renamed, to `treated`.
pub fn treat(raw: &Path, treated: &Path, target: &Target, objcopy: &OsStr) -> Result<(), Error> {
    let bytes = fs::read(raw).map_err(Error::reading(raw))?;
    let names = raw_names(&bytes, target)?;
    let map_path = place::beside(&treated.with_extension("symbols"));
    let output = place::beside(treated);
    fs::write(&map_path, renames(&names)).map_err(Error::writing(&map_path))?;
    let result = command(objcopy)
        .args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"])
        .arg(option("--redefine-syms=", &map_path))
        .arg(raw)
        .arg(&output)
        .output();
    let _ = fs::remove_file(&map_path);
    let objcopy = Path::new(objcopy).display();
    let result = result.map_err(Error::io(format!("run {objcopy}")))?;
    if !result.status.success() {
        let _ = fs::remove_file(&output);
        return Err(Error::Hygiene(format!(
            "{objcopy} failed ({}):\n{}",
            result.status,
            String::from_utf8_lossy(&result.stderr)
        )));
    }
    let renamed = fs::read(&output).map_err(Error::reading(&output))?;
    let left = raw_names(&renamed, target)?;
    if let Some(name) = left.first() {
        let _ = fs::remove_file(&output);
        return Err(Error::Hygiene(format!(
            "{objcopy} left {} of {} symbols as they were, such as {}",
            left.len(),
            names.len(),
            String::from_utf8_lossy(name)
        )));
    }
    place::rename(&output, treated)
}

/// The `objcopy` of the toolchain, or one of LLVM's in `PATH`.
pub fn find_objcopy(rustc: &OsStr, host: &Target) -> Option<OsString> {
    let of_toolchain = sysroot(rustc).map(|sysroot| {
        let name = if host.is_windows() { "rust-objcopy.exe" } else { "rust-objcopy" };
        sysroot.join("lib/rustlib").join(host.triple()).join("bin").join(name).into_os_string()
    });
    let candidates = of_toolchain.into_iter().chain(["rust-objcopy", "llvm-objcopy"].map(OsString::from));
    candidates.into_iter().find(|objcopy| {
        command(objcopy).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}

/// Runs that `objcopy`. One inside a Rust toolchain needs the LLVM of that toolchain, which the loader finds by itself only
/// when rustup has started the outermost cargo.
pub fn command(objcopy: &OsStr) -> Command {
    let mut command = Command::new(objcopy);
    // lib/rustlib/<host>/bin/rust-objcopy
    let mut above = Path::new(objcopy).ancestors().skip(3);
    let (rustlib, libraries) = (above.next(), above.next());
    if let (Some(rustlib), Some(libraries)) = (rustlib, libraries)
        && rustlib.ends_with("rustlib")
    {
        let variable =
            if cfg!(target_os = "macos") { "DYLD_FALLBACK_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
        let before = env::var_os(variable).unwrap_or_default();
        let paths = [libraries.to_owned()].into_iter().chain(env::split_paths(&before));
        if let Ok(paths) = env::join_paths(paths) {
            command.env(variable, paths);
        }
    }
    command
}

/// Where the toolchain of `rustc` is installed.
fn sysroot(rustc: &OsStr) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(sysroot.trim_end()))
}

/// Names that are to be renamed, each once.
fn raw_names<'a>(archive: &'a [u8], target: &Target) -> Result<BTreeSet<&'a [u8]>, Error> {
    let symbols = archive::symbols(archive).map_err(|error| Error::Hygiene(error.to_string()))?;
    let raw = symbols.into_iter().filter(|symbol| belongs(symbol, target));
    Ok(raw.map(|symbol| symbol.name).collect())
}

/// Whether a symbol is to be renamed: it is not of the library's interface, not renamed yet, and not one of those that
/// import libraries of Windows define, which the system's DLLs export under just that name.
fn belongs(symbol: &Symbol<'_>, target: &Target) -> bool {
    let own = if target.is_apple() { b"_dittoffi_".as_slice() } else { b"dittoffi_" };
    let renamed = symbol.name.windows(SUFFIX.len()).any(|window| window == SUFFIX.as_bytes());
    let imported = target.is_windows() && is_import_stub(symbol.member);
    !(symbol.name.starts_with(own) || renamed || imported)
}

/// Members of import libraries: `advapi32.dll`, `d000123.o`-like names from `…dlls00042.o`, `…dllh.o`, `…dllt.o`.
fn is_import_stub(member: &[u8]) -> bool {
    let name = String::from_utf8_lossy(member).to_ascii_lowercase();
    match name.strip_suffix(".o") {
        None => name.ends_with(".dll"),
        Some(stem) => {
            let stem = stem.trim_end_matches(|digit: char| digit.is_ascii_digit());
            stem.ends_with("dlls") || stem.ends_with("dllh") || stem.ends_with("dllt")
        }
    }
}

/// One line per symbol: the old name and the new one.
fn renames(names: &BTreeSet<&[u8]>) -> Vec<u8> {
    // The version keeps two versions of the library in one program apart.
    let suffix = format!("{SUFFIX}{}\n", crate::VERSION.replace('.', "_"));
    let mut lines = Vec::new();
    for name in names {
        lines.extend_from_slice(name);
        lines.push(b' ');
        lines.extend_from_slice(name);
        lines.extend_from_slice(suffix.as_bytes());
    }
    lines
}

fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_renamed_and_imported_symbols_stay() {
        let linux = Target::new("x86_64-unknown-linux-gnu");
        let apple = Target::new("aarch64-apple-darwin");
        let windows = Target::new("x86_64-pc-windows-gnu");
        let renamed = |name: &str, member: &str, target| {
            belongs(&Symbol { name: name.as_bytes(), member: member.as_bytes() }, target)
        };
        assert!(renamed("rust_eh_personality", "std.rcgu.o", &linux));
        assert!(!renamed("rust_eh_personality.dittoffi0_1_0", "std.rcgu.o", &linux));
        assert!(!renamed("dittoffi_version", "a.rcgu.o", &linux));
        assert!(renamed("_dittoffi_version", "a.rcgu.o", &linux));
        assert!(!renamed("_dittoffi_version", "a.rcgu.o", &apple));
        assert!(renamed("__imp__R1", "a.rcgu.o", &windows));
        assert!(!renamed("GetVersion", "libkernel32.a-dlls00042.o", &windows));
        assert!(!renamed("_head_x", "kernel32.dllh.o", &windows));
        assert!(!renamed("GetVersion", "kernel32.dll", &windows));
    }

    #[test]
    fn a_treated_archive_is_recognized() {
        let Some((cc, ar)) =
            Some(("cc", "ar")).filter(|(cc, _)| Command::new(cc).arg("--version").output().is_ok())
        else {
            return;
        };
        let host = Target::new(if cfg!(target_os = "macos") {
            "x86_64-apple-darwin"
        } else {
            "x86_64-unknown-linux-gnu"
        });
        let Some(objcopy) = find_objcopy(OsStr::new("rustc"), &host) else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs::write(path("a.c"), "int shared = 1; int dittoffi_answer(void) { return shared; }").unwrap();
        assert!(
            Command::new(cc)
                .arg("-c")
                .arg(path("a.c"))
                .arg("-o")
                .arg(path("a.o"))
                .status()
                .unwrap()
                .success()
        );
        assert!(Command::new(ar).arg("rcs").arg(path("raw.a")).arg(path("a.o")).status().unwrap().success());
        assert!(!is_treated(&fs::read(path("raw.a")).unwrap(), &host).unwrap());

        treat(&path("raw.a"), &path("treated.a"), &host, &objcopy).unwrap();

        let treated = fs::read(path("treated.a")).unwrap();
        assert!(is_treated(&treated, &host).unwrap());
        let names: Vec<_> = archive::symbols(&treated).unwrap().iter().map(|symbol| symbol.name).collect();
        assert!(names.iter().any(|name| name.ends_with(b"dittoffi_answer")), "{names:?}");
        assert!(names.iter().any(|name| name.starts_with(b"shared.dittoffi")), "{names:?}");
    }

    #[test]
    fn an_objcopy_that_fails_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("raw.a");
        fs::write(&raw, b"!<arch>\n/               0           0     0     0       4         `\n\0\0\0\0")
            .unwrap();
        let treated = directory.path().join("treated.a");
        let error =
            treat(&raw, &treated, &Target::new("x86_64-unknown-linux-gnu"), OsStr::new("no-such-objcopy"));
        assert!(error.unwrap_err().to_string().contains("no-such-objcopy"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
