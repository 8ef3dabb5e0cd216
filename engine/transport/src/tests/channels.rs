//! Messages: all sizes, both ways, back-pressure, counters.

use super::*;

const SIZES: [usize; 10] = [0, 1, 2, 150, 16_384, 65_535, 65_536, 70_000, 1024 * 1024, MAX_FRAME];

fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(31).wrapping_add(seed) >> 3) as u8).collect()
}

/// Sends, and waits for room when there is none.
async fn send(peer: &mut TestPeer, up: &Up, channel: Channel, mut message: Vec<u8>) {
    while let Err(error) = up.outgoing.try_send(channel, message) {
        let SendError::Full(back) = error else { panic!("{error}") };
        message = back;
        match peer.next().await {
            LinkEvent::Writable { link, channel: writable } => {
                assert_eq!((link, writable), (up.link, channel))
            }
            other => panic!("expected room, found {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_travel_both_ways_on_both_channels() {
    let (mut acceptor, at_acceptor, mut dialer, at_dialer) = linked(64).await;
    for (up, dialing) in [(at_dialer, true), (at_acceptor, false)] {
        let (from, to) = if dialing { (&mut dialer, &mut acceptor) } else { (&mut acceptor, &mut dialer) };
        for channel in Channel::ALL {
            let sending = async {
                for (seed, size) in SIZES.into_iter().enumerate() {
                    send(from, &up, channel, pattern(seed, size)).await;
                }
            };
            let receiving = async {
                for (seed, size) in SIZES.into_iter().enumerate() {
                    assert!(to.message().await == (channel, pattern(seed, size)), "{channel} {size}");
                }
            };
            tokio::join!(sending, receiving);
        }
        assert!(matches!(
            up.outgoing.try_send(Channel::Control, vec![0; MAX_FRAME + 1]),
            Err(SendError::TooLong(_))
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_stops_reading_slows_the_sender_and_loses_nothing() {
    let (mut acceptor, _at_acceptor, mut dialer, at_dialer) = linked(4).await;
    // The acceptor reads nothing: windows, socket buffers and at last the queue fill up.
    let mut sent = 0_u32;
    let message = |number: u32| [number.to_le_bytes().to_vec(), vec![7; 100_000]].concat();
    let full = |sent: u32| {
        matches!(at_dialer.outgoing.try_send(Channel::Replication, message(sent)), Err(SendError::Full(_)))
    };
    loop {
        if !full(sent) {
            sent += 1;
            continue;
        }
        // Full: either room comes, or it does not because the other side has stopped taking anything.
        match timeout(Duration::from_millis(300), dialer.events.recv()).await {
            Ok(Some(LinkEvent::Writable { .. })) => {}
            Ok(other) => panic!("expected room, found {other:?}"),
            Err(_) => break,
        }
    }
    for number in 0..sent {
        assert!(acceptor.message().await == (Channel::Replication, message(number)), "{number} of {sent}");
    }
    assert!(matches!(dialer.next().await, LinkEvent::Writable { channel: Channel::Replication, .. }));
    at_dialer.outgoing.try_send(Channel::Replication, vec![1]).unwrap();
    assert_eq!(acceptor.message().await, (Channel::Replication, vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_on_one_channel_does_not_hold_up_the_other() {
    let (mut acceptor, _at_acceptor, mut dialer, at_dialer) = linked(4).await;
    let bulk = 64;
    let sending = async {
        for number in 0..bulk {
            send(&mut dialer, &at_dialer, Channel::Replication, vec![number; 1024 * 1024]).await;
            if number == 8 {
                at_dialer.outgoing.try_send(Channel::Control, b"urgent".to_vec()).unwrap();
            }
        }
    };
    let receiving = async {
        let (mut bulk_before, mut seen) = (0, 0);
        while seen < bulk + 1 {
            seen += 1;
            match acceptor.message().await {
                (Channel::Control, bytes) => {
                    assert_eq!(bytes, b"urgent");
                    bulk_before = seen;
                }
                (Channel::Replication, bytes) => assert_eq!(bytes.len(), 1024 * 1024),
            }
        }
        bulk_before
    };
    let ((), position) = tokio::join!(sending, receiving);
    assert!(position < bulk / 2, "the urgent message arrived as number {position}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_show_the_real_bytes_of_both_directions() {
    // On a busy machine the goodbye may take its time, too.
    let options = Options { goodbye_timeout: PATIENCE, ..Options::default() };
    let (mut acceptor, at_acceptor, dialer, at_dialer) = linked_with(options, 64).await;
    let before = at_dialer.outgoing.traffic();
    assert!(before.sent > 500 && before.received > 500, "the handshake counts: {before:?}");
    at_dialer.outgoing.try_send(Channel::Replication, vec![0; 1_000_000]).unwrap();
    acceptor.message().await;
    let sent = at_dialer.outgoing.traffic().sent - before.sent;
    assert!((1_000_000..1_020_000).contains(&sent), "{sent}");

    dialer.shutdown().await;
    acceptor.down().await;
    acceptor.shutdown().await;
    let (ours, theirs) = (at_dialer.outgoing.traffic(), at_acceptor.outgoing.traffic());
    // The close alert of TLS 1.3 (header 5, alert 2, inner type 1, tag 16) may find the other side gone; nothing else may.
    const CLOSE_ALERT: u64 = 24;
    let unread = ours.sent.checked_sub(theirs.received).unwrap();
    assert!(
        unread == 0 || unread == CLOSE_ALERT,
        "what one side sent, the other received, but for {unread} bytes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_message_costs_few_bytes_on_the_wire() {
    let (mut acceptor, _at_acceptor, _dialer, at_dialer) = linked(64).await;
    let mut cheapest = u64::MAX;
    // A sign of life or a window update may share the time of one of them.
    for _ in 0..5 {
        let before = at_dialer.outgoing.traffic().sent;
        at_dialer.outgoing.try_send(Channel::Replication, vec![0; 100]).unwrap();
        acceptor.message().await;
        cheapest = cheapest.min(at_dialer.outgoing.traffic().sent - before - 100);
    }
    assert!(cheapest <= 4 + 12 + 22, "length, multiplexing and one TLS record, found {cheapest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_sent_in_one_go_share_a_record() {
    let (mut acceptor, _at_acceptor, _dialer, at_dialer) = linked(64).await;
    let before = at_dialer.outgoing.traffic().sent;
    for _ in 0..50 {
        at_dialer.outgoing.try_send(Channel::Replication, vec![0; 10]).unwrap();
    }
    for _ in 0..50 {
        acceptor.message().await;
    }
    let cost = at_dialer.outgoing.traffic().sent - before;
    assert!(cost < 50 * 48, "sent one by one they would cost {}, found {cost}", 50 * 48);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_released_together_share_a_frame() {
    let (mut acceptor, _at_acceptor, _dialer, at_dialer) = linked(64).await;
    let mut cheapest = u64::MAX;
    // The link may be woken by something else between the two.
    for _ in 0..5 {
        let before = at_dialer.outgoing.traffic().sent;
        for _ in 0..2 {
            at_dialer.outgoing.try_send_with_next(Channel::Replication, vec![0; 10]).unwrap();
        }
        at_dialer.outgoing.release(Channel::Replication);
        for _ in 0..2 {
            acceptor.message().await;
        }
        cheapest = cheapest.min(at_dialer.outgoing.traffic().sent - before);
    }
    assert!(cheapest <= 2 * 14 + 12 + 22, "found {cheapest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_comes_back_costs_half_of_the_first_one() {
    let (mut acceptor, mut at_acceptor, mut dialer, mut at_dialer) = linked(64).await;
    let first = cost_of_a_greeted_link(&mut acceptor, &at_acceptor, &mut dialer, &at_dialer).await;
    assert!(first > 1_300, "two certificates and two signatures, found {first} bytes");
    for _ in 0..3 {
        at_acceptor.outgoing.close("test");
        acceptor.down().await;
        dialer.down().await;
        (at_acceptor, at_dialer) = (acceptor.up().await, dialer.up().await);
        assert_eq!((at_acceptor.peer, at_dialer.peer), (dialer.key(), acceptor.key()));
        let again = cost_of_a_greeted_link(&mut acceptor, &at_acceptor, &mut dialer, &at_dialer).await;
        assert!(again <= 830, "found {again} bytes, {first} the first time");
    }
}

/// All bytes of a link, with an empty message each way that shows that both have read what came before.
async fn cost_of_a_greeted_link(
    acceptor: &mut TestPeer,
    at_acceptor: &Up,
    dialer: &mut TestPeer,
    at_dialer: &Up,
) -> u64 {
    at_acceptor.outgoing.try_send(Channel::Replication, Vec::new()).unwrap();
    dialer.message().await;
    at_dialer.outgoing.try_send(Channel::Replication, Vec::new()).unwrap();
    acceptor.message().await;
    let Traffic { sent, received } = at_dialer.outgoing.traffic();
    sent + received
}
