//! Whether the other side of a link is still there.
//!
//! Any byte of it is a sign of life. When none comes for a while it is asked for one. What is sent proves little: a buffer takes
//! it too. But on a narrow connection an answer waits behind it, so as long as it goes on leaving there is more patience.

use std::convert::Infallible;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::Options;
use crate::event::LinkDown;
use crate::sender::LinkShared;
use crate::wire::LinkFrame;

/// More bytes than this sent between two looks show that somebody takes them; pings are smaller.
const PROGRESS: u64 = 4 * 1024;

/// Signs of life: what the reader of the link's own frames and the watch want of the writer, and of each other.
#[derive(Default)]
pub(crate) struct Signs {
    /// The other side asks for one.
    pub(crate) wanted: Notify,
    /// The other side has given one.
    pub(crate) given: Notify,
    /// The other side is to be asked for one.
    missed: Notify,
}

/// Writes the frames of the link itself.
pub(crate) async fn speak(
    stream: &mut (impl AsyncWrite + Unpin),
    greeting: Option<LinkFrame>,
    signs: &Signs,
    options: &Options,
) -> LinkDown {
    let mut say = async |frame: LinkFrame| {
        let written = timeout(options.stall_timeout, stream.write_all(&frame.encode())).await;
        written.map_err(|_| LinkDown::Silent)?.map_err(|error| LinkDown::Lost(error.to_string()))
    };
    let speaking = async {
        if let Some(greeting) = greeting {
            say(greeting).await?;
        }
        loop {
            let frame = tokio::select! {
                () = signs.wanted.notified() => LinkFrame::Pong,
                () = signs.missed.notified() => LinkFrame::Ping,
            };
            say(frame).await?;
        }
    };
    let Err(reason): Result<Infallible, LinkDown> = speaking.await;
    reason
}

/// Finds out when the other side is not there any more.
///
/// On an idle link both sides have heard of each other last at the same time, but for the way that it took. So the one that was
/// dialled asks a little later, and mostly needs not: it has been asked by then.
pub(crate) async fn watch(signs: &Signs, link: &LinkShared, dialed: bool, options: &Options) -> LinkDown {
    let keep_alive = if dialed { options.keep_alive } else { options.keep_alive + options.keep_alive / 8 };
    let counters = &link.counters;
    loop {
        loop {
            let quiet = counters.heard() + keep_alive;
            if Instant::now() >= quiet {
                break;
            }
            tokio::select! {
                () = link.probe.notified() => break,
                () = sleep_until(quiet) => {}
            }
        }
        signs.missed.notify_one();
        let before = counters.traffic();
        let mut sent = before.sent;
        let mut due = Instant::now() + options.answer_timeout;
        loop {
            tokio::select! {
                () = signs.given.notified() => {}
                () = sleep_until(due) => {}
            }
            let now = Instant::now();
            let traffic = counters.traffic();
            if traffic.received > before.received {
                break;
            }
            if now < due {
                continue;
            }
            let patience = counters.heard() + options.sending_patience;
            if traffic.sent <= sent + PROGRESS || now >= patience {
                return LinkDown::Silent;
            }
            sent = traffic.sent;
            due = patience.min(now + options.answer_timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ditto_mesh::{LinkId, PeerKey};
    use tokio::time::sleep;

    use super::*;
    use crate::LinkSender;
    use crate::counted::Counters;

    const PONG: usize = 39;

    fn link() -> LinkSender {
        LinkSender::new(LinkId(1), PeerKey::from([7; 32]), Arc::new(Counters::new()), 1024)
    }

    /// Answers every question after `delay`, and counts them.
    async fn answer(signs: &Signs, link: &LinkSender, delay: Duration, asked: &mut u32) {
        loop {
            signs.missed.notified().await;
            *asked += 1;
            sleep(delay).await;
            link.shared().counters.received(PONG);
            signs.given.notify_one();
        }
    }

    /// How long after the last sign of life the link is given up, `busy` going on meanwhile.
    async fn given_up(
        link: &LinkSender,
        signs: &Signs,
        dialed: bool,
        busy: impl Future<Output = Infallible>,
    ) -> Duration {
        let options = Options::default();
        tokio::select! {
            never = busy => match never {},
            reason = watch(signs, link.shared(), dialed, &options) => assert_eq!(reason, LinkDown::Silent),
        }
        link.silence()
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_defaults_a_peer_that_vanishes_is_given_up_within_ten_seconds() {
        for milliseconds in (0..20_000).step_by(130) {
            let (link, signs) = (link(), Signs::default());
            let then_silence = async {
                // It answers, says something by itself now and then, and is gone in the middle of it.
                let talk = async {
                    loop {
                        sleep(Duration::from_millis(2_900)).await;
                        link.shared().counters.received(PONG);
                    }
                };
                let mut asked = 0;
                let life = async {
                    tokio::join!(talk, answer(&signs, &link, Duration::from_millis(400), &mut asked))
                };
                let _ = timeout(Duration::from_millis(milliseconds), life).await;
                std::future::pending().await
            };
            let silence = given_up(&link, &signs, milliseconds % 260 == 0, then_silence).await;
            assert!(
                silence < Duration::from_secs(10),
                "gone after {milliseconds} ms, noticed after {silence:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_defaults_an_idle_link_stays_and_asks_once_in_four_seconds() {
        for delay in [0, 400, 4_900] {
            let (link, signs) = (link(), Signs::default());
            let mut asked = 0;
            let (options, hour) = (Options::default(), Duration::from_secs(3_600));
            tokio::select! {
                reason = watch(&signs, link.shared(), true, &options) => panic!("{reason:?}"),
                () = answer(&signs, &link, Duration::from_millis(delay), &mut asked) => {}
                () = sleep(hour) => {}
            }
            assert!(asked <= 900, "asked {asked} times in an hour");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_two_sides_of_an_idle_link_one_asks() {
        for way in [0, 1, 50, 240] {
            let (ends, signs) = ([link(), link()], [Signs::default(), Signs::default()]);
            let (options, hour) = (Options::default(), Duration::from_secs(3_600));
            let mut asked = [0, 0];
            let [by_dialer, by_acceptor] = &mut asked;
            let ask = async |from: usize, asked: &mut u32| {
                loop {
                    signs[from].missed.notified().await;
                    *asked += 1;
                    sleep(Duration::from_millis(way)).await;
                    ends[1 - from].shared().counters.received(PONG);
                    sleep(Duration::from_millis(way)).await;
                    ends[from].shared().counters.received(PONG);
                    signs[from].given.notify_one();
                }
            };
            tokio::select! {
                reason = watch(&signs[0], ends[0].shared(), true, &options) => panic!("{reason:?}"),
                reason = watch(&signs[1], ends[1].shared(), false, &options) => panic!("{reason:?}"),
                () = ask(0, by_dialer) => {}
                () = ask(1, by_acceptor) => {}
                () = sleep(hour) => {}
            }
            assert!(asked[0] <= 900 && asked[1] == 0, "{way} ms: asked {asked:?} times in an hour");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_what_is_sent_may_be_silent_for_longer_but_not_for_ever() {
        for (bytes_a_second, expected) in [(100, 9), (20_000, 30)] {
            let (link, signs) = (link(), Signs::default());
            let sending = async {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    link.shared().counters.sent(bytes_a_second);
                }
            };
            assert_eq!(given_up(&link, &signs, true, sending).await, Duration::from_secs(expected));
        }
    }
}
