//! Messages on a byte stream: a length of four bytes, little endian, and the bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest message, in bytes: a mebibyte of content and room for what describes it.
pub const MAX_FRAME: usize = 1024 * 1024 + 4096;

/// What is set aside for a message before any of it has arrived: an announced length alone costs no memory.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// Why no frame could be read.
#[derive(Debug)]
pub enum FrameError {
    /// The stream ended, between frames or within one.
    End,
    /// More than allowed was announced.
    TooLong(u32),
    /// The stream failed.
    Io(io::Error),
}

/// Appends one frame. `message` has been checked to be no longer than [`MAX_FRAME`].
pub fn push_frame(batch: &mut Vec<u8>, message: &[u8]) {
    batch.reserve(4 + message.len());
    batch.extend_from_slice(&(message.len() as u32).to_le_bytes());
    batch.extend_from_slice(message);
}

/// Reads one frame of at most `limit` bytes. Not cancel-safe.
///
/// # Errors
/// See [`FrameError`]. The stream is of no use then.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, FrameError> {
    let announced = stream.read_u32_le().await.map_err(FrameError::from)?;
    let length = announced as usize;
    if length > limit {
        return Err(FrameError::TooLong(announced));
    }
    let mut message = Vec::with_capacity(length.min(FIRST_ALLOCATION));
    let mut rest = stream.take(u64::from(announced));
    while message.len() < length {
        if rest.read_buf(&mut message).await.map_err(FrameError::from)? == 0 {
            return Err(FrameError::End);
        }
    }
    Ok(message)
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => Self::End,
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn read(mut bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        read_frame(&mut bytes, MAX_FRAME).now_or_never().unwrap()
    }

    #[test]
    fn frames_round_trip() {
        for length in [0, 1, 4, FIRST_ALLOCATION, FIRST_ALLOCATION + 1, MAX_FRAME] {
            let mut batch = Vec::new();
            push_frame(&mut batch, &vec![7; length]);
            assert_eq!(read(&batch).unwrap(), vec![7; length]);
        }
    }

    #[test]
    fn a_hostile_length_is_refused_before_memory_is_set_aside() {
        assert!(matches!(read(&[0xff; 4]), Err(FrameError::TooLong(u32::MAX))));
        let long = (MAX_FRAME as u32 + 1).to_le_bytes();
        assert!(matches!(read(&long), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_cut_frame_is_an_end() {
        let mut batch = Vec::new();
        push_frame(&mut batch, b"message");
        for cut in 0..batch.len() {
            assert!(matches!(read(&batch[..cut]), Err(FrameError::End)), "{cut}");
        }
    }
}
