//! `tests/c/consumer.c`, compiled against `dittoffi.h` and linked with each form of the library.

use std::{path::Path, process::Command};

use crate::library::{libraries, repository, scratch};

/// What a C program links besides the static library, on Linux with glibc.
const NATIVE_LIBRARIES: &[&str] = &["-lgcc_s", "-lm", "-lpthread", "-ldl"];

fn compile(program: &Path, library: &[String]) {
    let output = Command::new("cc")
        .args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(repository().join("dittoffi/include"))
        .arg(repository().join("tests/c/consumer.c"))
        .arg("-o")
        .arg(program)
        .args(library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run(program: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .arg(directory.path().join("database"))
        // Cargo's own path leads to a shared library of the dev profile, if one was built, before the program's rpath does.
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"ok\n", "{}\n{errors}", output.status);
    assert_eq!(errors, "", "the library must be quiet when nothing is wrong");
}

#[test]
fn a_c_program_works_with_the_static_library() {
    let program = scratch("c").join("static");
    let mut arguments = vec![libraries().treated.display().to_string()];
    arguments.extend(NATIVE_LIBRARIES.iter().map(|&library| library.to_owned()));
    compile(&program, &arguments);
    run(&program);
}

#[test]
fn a_c_program_works_with_the_shared_library() {
    let program = scratch("c").join("shared");
    let directory = libraries().shared.parent().unwrap().display();
    compile(
        &program,
        &[
            libraries().shared.display().to_string(),
            format!("-Wl,-rpath,{directory}"),
            "-lpthread".to_owned(),
        ],
    );
    run(&program);
}
