//! Downloading the library, with a checksum that must match.
//!
//! `<base>/rust/Ditto/<version>/<target>/release/<file>` and, beside it, `<file>.sha256`: the SHA-256 of the file in
//! hexadecimal, then anything (as `sha256sum` writes it). The file gets its name only when it is complete, its checksum
//! matches and its fingerprint fits.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::{
    error::Refusal,
    fingerprint::Fingerprint,
    place,
    settings::{DOWNLOAD_BASE, Settings},
};

/// No artifact is larger.
const MAX_ARTIFACT_BYTES: u64 = 512 << 20;
/// No checksum file is larger.
const MAX_CHECKSUM_BYTES: u64 = 4 << 10;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// How long to wait and how often to try.
#[derive(Clone, Debug)]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// For the beginning of an answer.
    pub answer: Duration,
    /// For the whole of a file.
    pub body: Duration,
    /// Pauses between attempts; one attempt more than there are pauses.
    pub pauses: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            body: Duration::from_secs(600),
            pauses: vec![Duration::from_millis(500), Duration::from_secs(2)],
        }
    }
}

/// Downloads the library, and what the linker needs beside it, into `OUT_DIR`. Returns the library's address.
pub fn to_out_dir(settings: &Settings, patience: &Patience) -> Result<String, Refusal> {
    let Some(base) = &settings.download_base else {
        return Err(Refusal::new(
            "download",
            format!("{DOWNLOAD_BASE} is not set, so there is nowhere to download from"),
        ));
    };
    let directory =
        format!("{}/rust/Ditto/{}/{}/release", base.trim_end_matches('/'), crate::VERSION, settings.target);
    let url = format!("{directory}/{}", settings.file_name());
    let refuse = |reason: &str| Refusal::new(format!("{url} (download)"), reason);
    if settings.offline {
        return Err(refuse("not tried: offline mode is on (DITTOFFI_OFFLINE or CARGO_NET_OFFLINE)"));
    }
    if base.starts_with("https:") && !cfg!(feature = "https") {
        return Err(refuse("not tried: https needs the feature `https` of dittolive-ditto-sys"));
    }
    let agent = agent(patience);
    if let Some(import) = settings.import_library() {
        download(&agent, &format!("{directory}/{import}"), &settings.out_dir.join(import), patience, |_| {
            Ok(())
        })?;
    }
    let fits = |path: &Path| Fingerprint::check(path, &settings.abi, &settings.target);
    download(&agent, &url, &settings.out_dir.join(settings.file_name()), patience, fits)?;
    Ok(url)
}

/// Downloads one file to `target`, if its checksum matches and it `fits`.
fn download(
    agent: &Agent,
    url: &str,
    target: &Path,
    patience: &Patience,
    fits: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), Refusal> {
    let refuse = |reason: String| Refusal::new(format!("{url} (download)"), reason);
    let expected = checksum(agent, &format!("{url}.sha256"), patience).map_err(refuse)?;
    let temporary = place::beside(target);
    let result = attempts(patience, || fetch(agent, url, &temporary))
        .and_then(|found| {
            if found == expected {
                return Ok(());
            }
            Err(format!(
                "the SHA-256 of the file is {found}, of which its .sha256 file says it is {expected}"
            ))
        })
        .and_then(|()| fits(&temporary))
        .and_then(|()| place::rename(&temporary, target).map_err(|error| error.to_string()));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(refuse)
}

fn agent(patience: &Patience) -> Agent {
    Agent::config_builder()
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.answer))
        .timeout_recv_body(Some(patience.body))
        .user_agent(concat!("ditto-build-support/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// What went wrong, and whether another attempt may go better.
struct Failure {
    reason: String,
    may_pass: bool,
}

impl Failure {
    fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_pass: false }
    }

    fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), may_pass: true }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match &error {
            ureq::Error::StatusCode(status @ (404 | 410)) => {
                Self::lasting(format!("the server does not have it ({status})"))
            }
            ureq::Error::StatusCode(status) => Self {
                reason: format!("the server answered with status {status}"),
                may_pass: matches!(status, 408 | 425 | 429 | 500..=599),
            },
            ureq::Error::BadUri(_) => Self::lasting(format!("not a usable address: {error}")),
            _ => Self::passing(error.to_string()),
        }
    }
}

fn attempts<T>(patience: &Patience, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, String> {
    let mut pauses = patience.pauses.iter();
    let mut count = 1;
    loop {
        let failure = match attempt() {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        match pauses.next() {
            Some(pause) if failure.may_pass => thread::sleep(*pause),
            _ if count == 1 => return Err(failure.reason),
            _ => return Err(format!("{} (tried {count} times)", failure.reason)),
        }
        count += 1;
    }
}

/// The SHA-256 that the server states, in lower-case hexadecimal.
fn checksum(agent: &Agent, url: &str, patience: &Patience) -> Result<String, String> {
    let text = attempts(patience, || {
        let mut text = String::new();
        let body = agent.get(url).call()?.into_body();
        let read = body.into_reader().take(MAX_CHECKSUM_BYTES).read_to_string(&mut text);
        read.map_err(|error| Failure::passing(error.to_string()))?;
        Ok(text)
    })
    .map_err(|reason| {
        format!("its checksum {url} cannot be had, and without one nothing is downloaded: {reason}")
    })?;
    let checksum = text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if checksum.len() == 64 && checksum.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(checksum);
    }
    Err(format!("{url} does not begin with a SHA-256 of 64 hexadecimal digits"))
}

/// Writes what is at `url` to `path`. Returns its SHA-256.
fn fetch(agent: &Agent, url: &str, path: &Path) -> Result<String, Failure> {
    let local = |error: io::Error| Failure::lasting(format!("cannot write {}: {error}", path.display()));
    let response = agent.get(url).call()?;
    let stated = response.body().content_length();
    let mut body = response.into_body().into_reader();
    let mut file = File::create(path).map_err(local)?;
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = body.read(&mut chunk).map_err(|error| {
            Failure::passing(format!("the connection broke after {length} bytes: {error}"))
        })?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        length += count as u64;
        if length > MAX_ARTIFACT_BYTES {
            return Err(Failure::lasting(format!("it has more than {MAX_ARTIFACT_BYTES} bytes")));
        }
        hash.update(bytes);
        file.write_all(bytes).map_err(local)?;
    }
    if let Some(stated) = stated.filter(|&stated| stated != length) {
        return Err(Failure::passing(format!("{length} bytes arrived of {stated}")));
    }
    file.sync_all().map_err(local)?;
    Ok(hexadecimal(&hash.finalize()))
}

/// The SHA-256 of a file, in lower-case hexadecimal.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
    }
    Ok(hexadecimal(&hash.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
