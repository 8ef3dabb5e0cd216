//! Files of one JSON object a line, also gzipped, read line by line in constant memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

/// A longer line is taken for something else than a document.
pub const MAX_LINE: u64 = 16 * 1024 * 1024;
/// What some programs put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One line of a file: an object.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// The members of the object.
    pub fields: Map<String, Value>,
}

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file, or it may not be read.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Reading failed; for a gzipped file that includes a broken one.
    #[error("{path}, line {line}: cannot read on, the file may be cut off or damaged: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The line that was being read.
        line: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is no JSON object.
    #[error("{path}, line {line}: expected one JSON object: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// The lines of a file. Empty ones are skipped but counted. Ends at the first error.
pub struct JsonLines {
    path: PathBuf,
    /// `None` after the end.
    reader: Option<Box<dyn BufRead>>,
    number: u64,
    buffer: Vec<u8>,
    size: u64,
    position: Arc<AtomicU64>,
}

impl JsonLines {
    /// Opens a file. That it is gzipped is seen by its first bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let opened = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            let position = Arc::new(AtomicU64::new(0));
            let mut file = BufReader::with_capacity(1 << 16, Counted { file, position: position.clone() });
            let reader: Box<dyn BufRead> = match file.fill_buf()?.starts_with(&GZIP) {
                true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
                false => Box::new(file),
            };
            Ok((reader, size, position))
        };
        let (reader, size, position) =
            opened().map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            reader: Some(reader),
            number: 0,
            buffer: Vec::new(),
            size,
            position,
        })
    }

    /// The size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How much of the file was read, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn read(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            self.number += 1;
            self.buffer.clear();
            let length = reader
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| ReadError::Read { path: self.path.clone(), line: self.number, source })?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 > MAX_LINE {
                return Err(self.wrong(format!("it is longer than {MAX_LINE} bytes")));
            }
            let mark = if self.number == 1 { BYTE_ORDER_MARK } else { b"" };
            let text = self.buffer.strip_prefix(mark).unwrap_or(&self.buffer).trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            return match serde_json::from_slice(text) {
                Ok(fields) => Ok(Some(Line { number: self.number, fields })),
                Err(error) => Err(self.wrong(explain(text, &error))),
            };
        }
    }

    fn wrong(&self, reason: String) -> ReadError {
        ReadError::Line { path: self.path.clone(), line: self.number, reason }
    }
}

impl Iterator for JsonLines {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.read();
        if !matches!(line, Ok(Some(_))) {
            self.reader = None;
        }
        line.transpose()
    }
}

/// What is wrong with a line.
fn explain(text: &[u8], error: &serde_json::Error) -> String {
    let text = text.trim_ascii();
    if text == b"{" || text.first() == Some(&b'[') {
        return "this is an array, or an object over several lines; write each object on a line of its own"
            .to_owned();
    }
    if error.is_data() {
        return "this is another JSON value".to_owned();
    }
    let message = error.to_string();
    // The line is always the first to serde_json.
    let reason = message.split(" at line ").next().unwrap_or_default();
    format!("{reason}, at column {}", error.column())
}

/// Counts what is read.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.position.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    fn read(content: &[u8]) -> (Vec<Line>, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.jsonl");
        fs::write(&path, content).unwrap();
        let mut lines = Vec::new();
        for line in JsonLines::open(&path).unwrap() {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => return (lines, Some(error.to_string())),
            }
        }
        (lines, None)
    }

    const TEXT: &[u8] = b"{\"a\":1}\n\n{\"b\":[true]}";

    #[test]
    fn lines_are_numbered_and_empty_ones_are_skipped() {
        let (lines, error) = read(TEXT);
        assert_eq!(error, None);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(Value::Object(lines[1].fields.clone()), json!({"b": [true]}));
    }

    #[test]
    fn gzip_is_recognised_and_a_truncated_file_is_an_error() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(TEXT).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(read(&gzip), read(TEXT));
        let (_, error) = read(&gzip[..gzip.len() - 9]);
        assert!(error.unwrap().contains("cannot read on"));
    }

    #[test]
    fn an_error_names_the_line_and_ends_the_file() {
        for (wrong, expected) in
            [("[1]", "line 2: "), ("{\"a\":", "at column 5"), ("{} {}", "column"), ("\u{fffd}", "line 2")]
        {
            let (lines, error) = read(format!("{{}}\n{wrong}\n{{}}\n").as_bytes());
            assert_eq!(lines.len(), 1);
            assert!(error.as_deref().unwrap().contains(expected), "{error:?}");
        }
        assert!(read(b"{}\n\xff\n").1.unwrap().contains("line 2"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(read(b"\xef\xbb\xbf{\"a\":1}\r\n"), read(b"{\"a\":1}\n"));
        assert!(read(b"{}\n\xef\xbb\xbf{}\n").1.is_some());
    }

    #[test]
    fn other_json_is_refused_in_plain_words() {
        for (wrong, expected) in [
            ("[{}]", "an array"),
            ("{\n\"a\": 1\n}", "over several lines"),
            ("42", "another JSON value"),
            ("null", "another JSON value"),
        ] {
            let error = read(wrong.as_bytes()).1.unwrap();
            assert!(error.contains("line 1: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = JsonLines::open(Path::new("/no/such/file")).err().unwrap();
        assert!(error.to_string().contains("/no/such/file"));
    }
}
