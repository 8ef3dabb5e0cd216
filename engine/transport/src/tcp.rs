//! What is set on every TCP connection.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The operating system takes no more than about this many bytes before it has sent them. What is sent next waits for all of
/// them, and its own limit of megabytes is meant for one stream after another.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// When nothing of what was sent arrives for so long, the connection is lost. Only the operating system sees that: to a link its
/// buffer looks like a peer that takes what it is sent. As long as it takes to give up a peer to which nothing is sent.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNACKNOWLEDGED: std::time::Duration = std::time::Duration::from_secs(9);

/// Small messages leave at once, long ones are not taken far in advance, and it is noticed that none arrives.
pub(crate) fn tune(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    }
    socket.set_tcp_nodelay(true)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_waits_for_nothing_takes_little_in_advance_and_does_not_hope_for_long()
    -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let socket = TcpStream::connect(listener.local_addr()?).await?;
        tune(&socket)?;
        assert!(SockRef::from(&socket).tcp_nodelay()?);
        assert_eq!(SockRef::from(&socket).tcp_notsent_lowat()?, UNSENT_BYTES);
        assert_eq!(SockRef::from(&socket).tcp_user_timeout()?, Some(UNACKNOWLEDGED));
        let options = crate::Options::default();
        assert_eq!(UNACKNOWLEDGED, options.keep_alive + options.answer_timeout);
        Ok(())
    }
}
