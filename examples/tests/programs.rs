//! The programs as a shell sees them: what they print and how they end.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::{
    env, fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

/// A program that cargo has built beside this test.
fn program(name: &str) -> Command {
    let directory = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let path: PathBuf = directory.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is missing; `cargo test -p ditto-examples` builds it", path.display());
    Command::new(path)
}

fn pipe(command: &mut Command, input: impl AsRef<[u8]>) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_quickstart_runs_and_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        let output = program("quickstart").arg("--keep").arg(directory.path()).output().unwrap();
        let printed = text(&output.stdout);
        assert!(output.status.success(), "{printed}{}", text(&output.stderr));
        assert!(printed.contains("Both stores are equal"), "{printed}");
        printed
    };
    assert!(run().contains("5032 documents in"));
    let second = run();
    // What the last merge made may have been on its way when the first run ended.
    assert!(second.contains("from an earlier run") && second.contains("the reconnect took"), "{second}");
}

#[test]
fn the_quickstart_loads_nothing_of_a_broken_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broken.jsonl");
    fs::write(&file, "{\"name\":\"good\"}\n{\"name\":").unwrap();
    let output = program("quickstart").arg("--input").arg(&file).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("line 2") && errors.contains("nothing was imported"), "{errors}");
}

#[test]
fn the_quickstart_ends_quietly_when_nobody_reads_on() {
    let mut child = program("quickstart").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn the_quickstart_says_what_it_cannot_work_with() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.jsonl");
    fs::write(&empty, "\n").unwrap();
    let other = directory.path().join("other");
    let peer = pipe(program("peer").arg("--dir").arg(other.join("a")), "INSERT INTO c DOCUMENTS ({'x': 1})");
    assert!(peer.status.success());
    for (option, value, expected) in [
        ("--input", empty.as_os_str(), "nothing to sync"),
        ("--keep", other.as_os_str(), "other/a"),
        ("--keep", empty.as_os_str(), "empty.jsonl"),
        ("--watch", "SELEC".as_ref(), "SELEC"),
    ] {
        let output = program("quickstart").arg(option).arg(value).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("quickstart: ") && errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_file_that_was_written_anew_is_loaded_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plants.jsonl");
    let run = |content: &str, hour: u64| {
        fs::write(&file, content).unwrap();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 3600 * hour);
        fs::File::options().append(true).open(&file).unwrap().set_modified(written).unwrap();
        let mut quickstart = program("quickstart");
        let output =
            quickstart.arg("--keep").arg(directory.path().join("kept")).arg("--input").arg(&file).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let four = "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n{\"x\":4}\n";
    assert!(run(four, 0).contains("4 documents in"));
    assert!(run(four, 0).contains("nothing is loaded again"));
    let more = run(&format!("{four}{{\"x\":5}}\n"), 1);
    assert!(more.contains("were there already") && !more.contains("nothing is loaded again"), "{more}");
}

#[test]
fn a_peer_prints_rows_and_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("more.jsonl");
    fs::write(&file, "{\"_id\":\"b\"}\n").unwrap();
    let input = format!(
        "-- two documents\nINSERT INTO c DOCUMENTS ({{'_id': 'a', 'x': 1}})\n.import {} c\n\nSELECT * FROM c ORDER BY _id\n",
        file.display()
    );
    let output = pipe(program("peer").arg("--dir").arg(directory.path().join("db")), &input);
    assert_eq!(text(&output.stdout), "{\"_id\":\"a\",\"x\":1}\n{\"_id\":\"b\"}\n");
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn every_statement_of_the_language_page_runs() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dql.md")).unwrap();
    let blocks = page.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    let statements: String = blocks.collect();
    assert!(statements.lines().count() > 20, "{statements}");
    let directory = tempfile::tempdir().unwrap();
    let output = pipe(program("peer").arg("--dir").arg(directory.path()), statements);
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn a_peer_goes_on_after_an_error_and_its_exit_code_tells() {
    let directory = tempfile::tempdir().unwrap();
    let input = b"SELEC 1\n.nothing\n\xff\xfe\nINSERT INTO c DOCUMENTS ({'_id': 1})\r\nSELECT * FROM c";
    let output = pipe(program("peer").arg("--dir").arg(directory.path()), input);
    let errors = text(&output.stderr);
    assert_eq!(text(&output.stdout), "{\"_id\":1}\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("line 1: ") && errors.contains("SELEC"), "{errors}");
    assert!(errors.contains("line 2: ") && errors.contains(".help"), "{errors}");
    assert!(errors.contains("line 3: ") && errors.contains("not UTF-8"), "{errors}");
}

#[test]
fn a_peer_that_cannot_listen_or_open_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let output = pipe(program("peer").arg("--dir").arg(directory.path()).args(["--listen", &address]), "");
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let output = pipe(program("peer").arg("--dir").arg(&file), "");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_database_is_verified_copied_and_compacted() {
    let root = tempfile::tempdir().unwrap();
    let (home, copy) = (root.path().join("home"), root.path().join("copy"));
    let documents: Vec<_> = (0..2000).map(|x| format!("({{'_id': {x}, 'text': '{x:0>100}'}})")).collect();
    let fill = format!(
        "INSERT INTO c DOCUMENTS {}\nEVICT FROM c WHERE _id >= 10\nCREATE INDEX by_text ON c (text)",
        documents.join(", ")
    );
    assert!(pipe(program("peer").arg("--dir").arg(&home), fill).status.success());
    let maintain = |work: &[&str]| {
        let output = program("maintenance").arg("--dir").arg(&home).args(work).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let succeed = |work: &[&str]| {
        let (code, printed, errors) = maintain(work);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{printed}");
        printed
    };
    assert!(succeed(&["verify"]).starts_with("10 documents, 0 deleted documents, 10 index rows, 0 incon"));
    assert!(succeed(&["backup", copy.to_str().unwrap()]).starts_with("10 documents, "));
    let (code, printed, errors) = maintain(&["backup", copy.to_str().unwrap()]);
    assert!(code == Some(1) && printed.is_empty() && errors.contains("must be empty"), "{errors}");
    let rows = pipe(program("peer").arg("--dir").arg(&copy), "SELECT _id FROM c WHERE _id = 7");
    assert_eq!(text(&rows.stdout), "{\"_id\":7}\n");
    let (code, _, errors) = maintain(&["--limit", "0", "compact"]);
    assert!(code == Some(1) && errors.contains("was cancelled"), "{errors}");
    assert!(succeed(&["compact"]).contains(" became "));
    let usage = succeed(&["usage"]);
    assert!(usage.contains("10 documents, 1 indexes: c\n") && usage.contains(" home/store\n"), "{usage}");
}

#[test]
fn maintenance_makes_no_database_where_there_is_none() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let output = program("maintenance").arg("--dir").arg(&home).arg("verify").output().unwrap();
    assert!(text(&output.stderr).contains("there is no directory"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(!home.exists());
}
