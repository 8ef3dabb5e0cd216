//! What is set on every TCP connection.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The operating system takes no more than about this many bytes before it has sent them. What is sent next waits for all of
/// them, and its own limit of megabytes is meant for one stream after another.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// Small messages leave at once, and long ones are not taken far in advance.
pub(crate) fn tune(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_nodelay(true)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_waits_for_nothing_and_takes_little_in_advance() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let socket = TcpStream::connect(listener.local_addr()?).await?;
        tune(&socket)?;
        assert!(SockRef::from(&socket).tcp_nodelay()?);
        assert_eq!(SockRef::from(&socket).tcp_notsent_lowat()?, UNSENT_BYTES);
        Ok(())
    }
}
