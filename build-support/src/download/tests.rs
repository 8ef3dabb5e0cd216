//! Against an HTTP server in a thread that answers as it is told.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

use super::*;
use crate::{Linkage, Target};

const ABI: &str = "0123456789abcdef0123456789abcdef";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// One answer to one request.
#[derive(Clone)]
enum Answer {
    Body(Vec<u8>),
    Status(u16),
    /// States the whole length, sends only so many bytes, and hangs up.
    Truncated(Vec<u8>, usize),
    /// As before, but does not hang up.
    Stalled(Vec<u8>, usize),
    HangUp,
}

/// Answers requests in turn; the last answer of a path is repeated.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(checksum: Vec<Answer>, artifact: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/mirror/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            let mut checksum = VecDeque::from(checksum);
            let mut artifact = VecDeque::from(artifact);
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let path = request(&stream);
                let answers = if path.ends_with(".sha256") { &mut checksum } else { &mut artifact };
                log.lock().unwrap().push(path);
                let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                respond(stream, answer.unwrap_or(Answer::Status(404)));
            }
        });
        Self { base, requests }
    }
}

fn request(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.find(String::is_empty);
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn respond(mut stream: TcpStream, answer: Answer) {
    let stalls = matches!(answer, Answer::Stalled(..));
    let (status, length, body) = match answer {
        Answer::Body(body) => (200, body.len(), body),
        Answer::Truncated(body, sent) | Answer::Stalled(body, sent) => {
            (200, body.len(), body[..sent].to_vec())
        }
        Answer::Status(status) => (status, 0, Vec::new()),
        Answer::HangUp => return,
    };
    // The client may have gone; that is its right.
    let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(&body);
    if stalls {
        // Open for as long as the process lives.
        std::mem::forget(stream);
    }
}

fn artifact() -> Vec<u8> {
    let mut bytes = vec![7; 200_000];
    bytes.extend_from_slice(format!("DITTOFFI_ABI_FINGERPRINT={ABI};TARGET={TARGET};").as_bytes());
    bytes
}

fn checksum_of(bytes: &[u8]) -> Answer {
    Answer::Body(format!("{}  libdittoffi.a\n", hexadecimal(&Sha256::digest(bytes))).into_bytes())
}

struct Download {
    out_dir: TempDir,
    server: Server,
    settings: Settings,
    /// How long a file may take.
    body: Duration,
}

impl Download {
    fn of(checksum: Vec<Answer>, artifact: Vec<Answer>) -> Self {
        let out_dir = tempfile::tempdir().unwrap();
        let server = Server::start(checksum, artifact);
        let settings = Settings {
            linkage: Linkage::Static,
            target: Target::new(TARGET),
            host: Target::new(TARGET),
            abi: ABI.to_owned(),
            out_dir: out_dir.path().to_owned(),
            manifest_dir: PathBuf::from("/nowhere/sys"),
            profile: "debug".to_owned(),
            search_path: None,
            working_directory: None,
            system_directories: Vec::new(),
            download_base: Some(server.base.clone()),
            offline: false,
            amend_with: None,
        };
        Self { out_dir, server, settings, body: Duration::from_secs(30) }
    }

    fn run(&self) -> Result<String, Refusal> {
        let patience = Duration::from_secs(30);
        let pauses = vec![Duration::ZERO; 2];
        let body = self.body;
        to_out_dir(&self.settings, &Patience { connect: patience, answer: patience, body, pauses })
    }

    /// The reason of the refusal, after which nothing may be left.
    fn refused(&self) -> String {
        let refusal = self.run().unwrap_err();
        assert_eq!(fs::read_dir(self.out_dir.path()).unwrap().count(), 0, "{refusal}");
        refusal.to_string()
    }

    fn requests(&self) -> usize {
        self.server.requests.lock().unwrap().len()
    }
}

#[test]
fn a_good_library_arrives_under_its_name() {
    let download = Download::of(vec![checksum_of(&artifact())], vec![Answer::Body(artifact())]);
    let url = download.run().unwrap();
    assert!(
        url.ends_with(&format!("/mirror/rust/Ditto/{}/{TARGET}/release/libdittoffi.a", crate::VERSION)),
        "{url}"
    );
    assert_eq!(fs::read(download.out_dir.path().join("libdittoffi.a")).unwrap(), artifact());
    assert_eq!(fs::read_dir(download.out_dir.path()).unwrap().count(), 1);
}

#[test]
fn a_corrupt_library_is_refused_with_both_checksums() {
    let mut corrupt = artifact();
    corrupt[100] ^= 1;
    let download = Download::of(vec![checksum_of(&artifact())], vec![Answer::Body(corrupt.clone())]);
    let reason = download.refused();
    assert!(reason.contains(&hexadecimal(&Sha256::digest(&corrupt))), "{reason}");
    assert!(reason.contains(&hexadecimal(&Sha256::digest(artifact()))), "{reason}");
}

#[test]
fn a_missing_library_is_not_asked_for_again() {
    let download = Download::of(vec![checksum_of(b"")], vec![Answer::Status(404)]);
    let reason = download.refused();
    assert!(reason.contains("404") && reason.contains(TARGET), "{reason}");
    assert_eq!(download.requests(), 2);
}

#[test]
fn without_a_checksum_nothing_is_downloaded() {
    for answer in [Answer::Status(404), Answer::Body(b"<html>".to_vec())] {
        let download = Download::of(vec![answer], vec![Answer::Body(artifact())]);
        let reason = download.refused();
        assert!(reason.contains(".sha256"), "{reason}");
        assert_eq!(download.requests(), 1);
    }
}

#[test]
fn a_truncated_library_is_fetched_again() {
    let truncated = Answer::Truncated(artifact(), 1000);
    let download = Download::of(
        vec![checksum_of(&artifact())],
        vec![truncated.clone(), truncated, Answer::Body(artifact())],
    );
    download.run().unwrap();
    assert_eq!(download.requests(), 4);
}

#[test]
fn a_library_that_stays_truncated_is_refused() {
    let download = Download::of(vec![checksum_of(&artifact())], vec![Answer::Truncated(artifact(), 1000)]);
    let reason = download.refused();
    assert!(reason.contains("3 times"), "{reason}");
}

#[test]
fn a_server_that_stops_sending_is_given_up() {
    let stalled = Answer::Stalled(artifact(), 1000);
    let mut download = Download::of(vec![checksum_of(&artifact())], vec![stalled]);
    download.body = Duration::from_millis(200);
    let reason = download.refused();
    assert!(reason.contains("timeout") && reason.contains("3 times"), "{reason}");
}

#[test]
fn the_import_library_of_a_dll_comes_along() {
    let msvc = Target::new("x86_64-pc-windows-msvc");
    let dll = artifact();
    let mut download = Download::of(vec![checksum_of(&dll)], vec![Answer::Body(dll)]);
    (download.settings.linkage, download.settings.target) = (Linkage::Dynamic, msvc);
    // What is served is for another target, which is found out about the DLL, after the import library came.
    let refusal = download.run().unwrap_err().to_string();
    assert!(refusal.contains("dittoffi.dll ") && refusal.contains("was built for"), "{refusal}");
    assert!(download.out_dir.path().join("dittoffi.dll.lib").is_file());
    let paths = download.server.requests.lock().unwrap().join(" ");
    assert!(paths.contains("release/dittoffi.dll.lib") && paths.contains("release/dittoffi.dll"), "{paths}");
}

#[test]
fn a_server_in_trouble_is_tried_again() {
    let download = Download::of(
        vec![Answer::HangUp, Answer::Status(503), checksum_of(&artifact())],
        vec![Answer::Status(500), Answer::Body(artifact())],
    );
    download.run().unwrap();
}

#[test]
fn a_library_of_another_abi_is_refused() {
    let other = artifact().iter().map(|&byte| if byte == b'0' { b'f' } else { byte }).collect::<Vec<_>>();
    let download = Download::of(vec![checksum_of(&other)], vec![Answer::Body(other)]);
    let reason = download.refused();
    assert!(reason.contains("ABI fingerprint"), "{reason}");
}

#[test]
fn offline_mode_never_dials() {
    let mut download = Download::of(vec![checksum_of(&artifact())], vec![Answer::Body(artifact())]);
    download.settings.offline = true;
    let reason = download.refused();
    assert!(reason.contains("offline"), "{reason}");
    assert_eq!(download.requests(), 0);
}

#[test]
fn without_a_base_the_variable_is_named() {
    let mut download = Download::of(Vec::new(), Vec::new());
    download.settings.download_base = None;
    assert!(download.refused().contains("DITTOFFI_DOWNLOAD_BASE"));
}
