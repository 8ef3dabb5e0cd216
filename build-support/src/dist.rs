//! Packages the library for one target, in the layout that build scripts download from.
//!
//! The profile is `dist`: link-time optimization over the whole engine. Beside each file lies its SHA-256; `manifest.json`
//! says what is in the directory.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ditto_build_support::{Linkage, Target, VERSION, download::sha256, fingerprint::Fingerprint, hygiene};

/// Builds for `target` (the host if `None`) and packages in `out`.
pub fn run(target: Option<String>, out: &Path) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = compiler_version(&rustc)?;
    let host = Target::new(field(&compiler, "host: ")?);
    let target = target.map_or_else(|| host.clone(), Target::new);
    let objcopy = hygiene::find_objcopy(&rustc, &host)
        .ok_or("neither rust-objcopy (part of every rustup toolchain) nor llvm-objcopy was found")?;

    let target_directory = root.join("target/dittoffi");
    let native_libraries = build(&root, &target_directory, &target)?;
    let built = target_directory.join(target.triple()).join("dist");
    let package = out.join("rust/Ditto").join(VERSION).join(target.triple()).join("release");
    fs::create_dir_all(&package).map_err(|error| format!("{}: {error}", package.display()))?;

    let library = package.join(target.file_name(Linkage::Static));
    hygiene::treat(&built.join(target.file_name(Linkage::Static)), &library, &target, &objcopy)
        .map_err(|error| error.to_string())?;
    let mut files = vec![library.clone()];
    let shared = built.join(target.file_name(Linkage::Dynamic));
    if shared.is_file() {
        let packaged = package.join(target.file_name(Linkage::Dynamic));
        strip(&objcopy, &shared, &packaged)?;
        files.push(packaged);
        if let Some(import) = target.import_library() {
            let packaged = package.join(import);
            fs::copy(built.join(import), &packaged).map_err(|error| format!("{import}: {error}"))?;
            files.push(packaged);
        }
    } else {
        eprintln!("no {}: rustc makes none for {target}", target.file_name(Linkage::Dynamic));
    }
    let header = package.join("dittoffi.h");
    fs::copy(root.join("dittoffi/include/dittoffi.h"), &header)
        .map_err(|error| format!("dittoffi.h: {error}"))?;
    files.push(header);

    let bytes = fs::read(&library).map_err(|error| format!("{}: {error}", library.display()))?;
    let fingerprint = Fingerprint::find(&bytes).ok_or("the library that was built has no ABI fingerprint")?;
    let mut entries = Vec::new();
    for file in &files {
        entries.push(seal(file)?);
    }
    let manifest = format!(
        "{{\n  \"version\": {},\n  \"target\": {},\n  \"abi_fingerprint\": {},\n  \"compiler\": {},\n  \
         \"native_libraries\": [{}],\n  \"files\": [\n{}\n  ]\n}}\n",
        quoted(VERSION),
        quoted(target.triple()),
        quoted(&fingerprint.abi),
        quoted(compiler.lines().next().unwrap_or_default()),
        native_libraries.iter().map(|library| quoted(library)).collect::<Vec<_>>().join(", "),
        entries.join(",\n")
    );
    fs::write(package.join("manifest.json"), manifest).map_err(|error| format!("manifest.json: {error}"))?;
    println!("packaged {}", package.display());
    Ok(())
}

/// What `rustc -vV` prints.
fn compiler_version(rustc: &OsString) -> Result<String, String> {
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    String::from_utf8(output.stdout).map_err(|error| format!("rustc: {error}"))
}

fn field<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("rustc -vV has no `{name}`"))
}

/// Builds both kinds of library. Returns the system libraries that a program needs to link the static one.
fn build(root: &Path, target_directory: &Path, target: &Target) -> Result<Vec<String>, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["rustc", "--profile", "dist", "--locked", "--package", "dittoffi", "--lib"])
        .args(["--crate-type", "staticlib,cdylib", "--target", target.triple(), "--target-dir"])
        .arg(target_directory)
        .args(["--", "--print", "native-static-libs"])
        .args(fold(target))
        .stdout(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("cargo failed:\n{text}"));
    }
    // Cargo repeats the note when nothing had to be compiled.
    let libraries = text
        .lines()
        .find_map(|line| line.split_once("native-static-libs:"))
        .ok_or("rustc did not print which native libraries the static library needs")?
        .1;
    Ok(libraries.split_whitespace().map(str::to_owned).collect())
}

/// Where the linker is LLD, equal functions become one: 64 KiB of the shared library. Nothing compares addresses of functions.
fn fold(target: &Target) -> &'static [&'static str] {
    if target.triple() == "x86_64-unknown-linux-gnu" { &["-C", "link-arg=-Wl,--icf=all"] } else { &[] }
}

fn strip(objcopy: &OsString, from: &Path, to: &PathBuf) -> Result<(), String> {
    let result = hygiene::command(objcopy).arg("--strip-unneeded").arg(from).arg(to).output();
    let output = result.map_err(|error| format!("{}: {error}", Path::new(objcopy).display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("stripping {} failed:\n{}", from.display(), String::from_utf8_lossy(&output.stderr)))
}

/// Writes the checksum beside `file`. Returns the manifest's entry.
fn seal(file: &Path) -> Result<String, String> {
    let context = |error: std::io::Error| format!("{}: {error}", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let hash = sha256(file).map_err(context)?;
    let length = fs::metadata(file).map_err(context)?.len();
    fs::write(file.with_file_name(format!("{name}.sha256")), format!("{hash}  {name}\n")).map_err(context)?;
    Ok(format!("    {{ \"name\": {}, \"bytes\": {length}, \"sha256\": {} }}", quoted(&name), quoted(&hash)))
}

/// A JSON string. What is quoted here is printable text of tools and file names.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
