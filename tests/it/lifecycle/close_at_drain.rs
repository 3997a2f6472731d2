//! What `close_at_drain` does with a socket, byte by byte and on a clock that stands still.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tower_handoff::lifecycle::{CloseAtDrain, Phase, PhaseControl};

use super::common::within;

type Socket = WebSocketStream<DuplexStream>;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

fn goodbye() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Away,
        reason: "draining".into(),
    }))
}

/// A client and its server, with so much room for bytes between them.
async fn pair(room: usize) -> (Socket, CloseAtDrain<Socket, Message>, PhaseControl) {
    let (theirs, ours) = tokio::io::duplex(room);
    let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let phases = PhaseControl::new();
    let server = phases.watch().close_at_drain(server, goodbye(), PATIENCE);
    (client, server, phases)
}

async fn hear(socket: &mut Socket) -> Option<Message> {
    within("a message", socket.next()).await.map(Result::unwrap)
}

#[tokio::test(start_paused = true)]
async fn until_the_drain_it_is_the_socket() {
    let (mut client, mut server, phases) = pair(1024).await;
    for phase in [Phase::Ready, Phase::Settling] {
        phases.advance(phase);
        assert!(server.next().now_or_never().is_none(), "{phase}");
        client.send("a".into()).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), "a".into());
        server.send("b".into()).await.unwrap();
        assert_eq!(hear(&mut client).await, Some("b".into()));
    }
    client.close(None).await.unwrap();
    assert_eq!(
        server.next().await.unwrap().unwrap(),
        Message::Close(None),
        "the handler sees who goes first"
    );
    phases.advance(Phase::Draining);
    assert!(within("the end", server.next()).await.is_none());
    drop(server);
    assert_eq!(hear(&mut client).await, Some(Message::Close(None)));
    assert_eq!(hear(&mut client).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_answered_and_what_comes_later_is_not_shown() {
    let (mut client, mut server, phases) = pair(1024).await;
    client.send("taken".into()).await.unwrap();
    client.send("too late".into()).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), "taken".into());
    phases.advance(Phase::Draining);
    server.send("answer".into()).await.unwrap();
    let rest = tokio::spawn(async move {
        let rest = server.next().await;
        // And stays ended.
        assert!(server.next().await.is_none());
        let sent = server.send("nobody hears it".into()).await;
        (rest, sent)
    });
    assert_eq!(hear(&mut client).await, Some("answer".into()));
    assert_eq!(hear(&mut client).await, Some(goodbye()));
    assert_eq!(hear(&mut client).await, None);
    let (rest, sent) = within("the server", rest).await.unwrap();
    assert!(rest.is_none() && sent.is_err(), "{rest:?} {sent:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_and_a_peer_that_never_answers_has_its_time() {
    // Silent; talking on and on; without room for the goodbye.
    for peer in ["silent", "talks", "full"] {
        let room = if peer == "full" { 8 } else { 1024 };
        let (client, mut server, phases) = pair(room).await;
        let (mut says, mut hears) = client.split();
        if peer == "talks" {
            tokio::spawn(async move {
                while says.send("more".into()).await.is_ok() {
                    sleep(SECOND / 10).await;
                }
            });
        }
        let handler = tokio::spawn(async move {
            while let Some(message) = server.next().await {
                assert_eq!(message.unwrap(), "more".into());
            }
            Instant::now()
        });
        sleep(SECOND).await;
        phases.advance(Phase::Draining);
        let told = Instant::now();
        let ended = within("the handler", handler).await.unwrap();
        assert_eq!(ended - told, PATIENCE, "{peer}");
        if peer != "full" {
            let heard = within("the goodbye", hears.next()).await.unwrap();
            assert_eq!(heard.unwrap(), goodbye());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_patience_the_goodbye_is_sent_all_the_same() {
    let (theirs, ours) = tokio::io::duplex(1024);
    let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let phases = PhaseControl::new();
    let watch = phases.watch();
    let mut server = watch.close_at_drain(server, goodbye(), Duration::ZERO);
    phases.advance(Phase::Draining);
    assert!(within("the end", server.next()).await.is_none());
    drop(server);
    assert_eq!(hear(&mut client).await, Some(goodbye()));
}

#[tokio::test(start_paused = true)]
async fn halves_in_two_tasks_do_not_take_each_others_wake_up() {
    let large = Message::binary(vec![b'x'; 4096]);
    for (writer_comes_again, client_reads_after) in [
        // The reader comes last, and is woken in the writer's place: in time, and never.
        (false, 2 * SECOND),
        (false, PATIENCE + SECOND),
        // The writer comes last, and is woken in the reader's place.
        (true, 2 * SECOND + SECOND / 2),
    ] {
        let (mut client, server, phases) = pair(64).await;
        let (mut writes, mut reads) = server.split();
        let sent = large.clone();
        let writer = tokio::spawn(async move {
            writes.feed(sent).await.unwrap();
            loop {
                let again = if writer_comes_again {
                    SECOND
                } else {
                    60 * SECOND
                };
                if let Ok(flushed) = timeout(again, writes.flush()).await {
                    return flushed.unwrap();
                }
            }
        });
        tokio::task::yield_now().await;
        if writer_comes_again {
            // Or the socket knows the reader from its reading before.
            phases.advance(Phase::Draining);
        }
        let reader = tokio::spawn(async move { assert!(reads.next().await.is_none()) });
        tokio::task::yield_now().await;
        phases.advance(Phase::Draining);
        let told = Instant::now();
        sleep(client_reads_after).await;
        assert_eq!(hear(&mut client).await.unwrap(), large);
        within("the writer", writer).await.unwrap();
        if client_reads_after < PATIENCE {
            assert_eq!(hear(&mut client).await, Some(goodbye()));
            assert_eq!(hear(&mut client).await, None);
        }
        within("the reader", reader).await.unwrap();
        assert_eq!(told.elapsed() < PATIENCE, client_reads_after < PATIENCE);
    }
}
