//! A small HTTP server for a tree of packages: for tests and for mirrors inside a network.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    thread,
    time::Duration,
};

/// A client that sends or takes nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(30);
/// The longest request, with all its headers.
const MAX_REQUEST_BYTES: u64 = 16 << 10;

/// Serves the files in `directory` at `listener`, one thread for each connection, until the listener fails. `log` gets a
/// line for each request.
pub fn serve(listener: &TcpListener, directory: &Path, log: fn(&str)) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    loop {
        let (stream, _) = listener.accept()?;
        let directory = directory.clone();
        thread::spawn(move || {
            if let Err(error) = answer(stream, &directory, log) {
                log(&format!("a connection broke: {error}"));
            }
        });
    }
}

fn answer(mut stream: TcpStream, directory: &Path, log: fn(&str)) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(MAX_REQUEST_BYTES)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, file) = match method {
        "GET" | "HEAD" => match resolve(directory, target).and_then(|path| File::open(path).ok()) {
            Some(file) => ("200 OK", Some(file)),
            None => ("404 Not Found", None),
        },
        _ => ("405 Method Not Allowed", None),
    };
    log(&format!("{method} {target} {status}"));
    let length = file.as_ref().map_or(Ok(0), |file| file.metadata().map(|metadata| metadata.len()))?;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    if let Some(file) = file.filter(|_| method == "GET") {
        io::copy(&mut file.take(length), &mut stream)?;
    }
    stream.flush()
}

/// The file that a request is for; `None` if there is none inside `directory`.
fn resolve(directory: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let path = directory.join(path).canonicalize().ok().filter(|_| plain)?;
    // A symbolic link may lead outside.
    (path.starts_with(directory) && path.is_file()).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_files_inside_the_directory_are_served() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let directory = root.join("dist");
        fs::create_dir_all(directory.join("a")).unwrap();
        fs::write(directory.join("a/b"), "inside").unwrap();
        fs::write(root.join("secret"), "outside").unwrap();
        assert_eq!(resolve(&directory, "/a/b"), Some(directory.join("a/b")));
        assert_eq!(resolve(&directory, "/a/b?x=1"), Some(directory.join("a/b")));
        let absolute = format!("/{}", root.join("secret").display());
        for target in ["/../secret", "/a/../../secret", "/a", "/", "", "a/b", "/c", absolute.as_str()] {
            assert_eq!(resolve(&directory, target), None, "{target}");
        }
    }
}
