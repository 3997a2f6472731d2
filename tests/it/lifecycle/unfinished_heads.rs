//! Who has begun to ask and does not come to the end of it holds no drain, and forces none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tower_handoff::lifecycle::{Managed, Outcome, Phase, ServerOutcome, Stage};
use tracing::Level;

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS, Server};
use super::piped::{EMPTY_SETTINGS, GET, PREFACE, hello, serve};
use crate::support::log::Log;

/// Longer than a test is waited for.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_before_the_signal_does_not_hold_the_drain() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(LONG)).await;
        let mut clients = Vec::new();
        for (begin, served, is_head) in [
            (b"G".to_vec(), false, true),
            (b"P".to_vec(), false, true),
            (b"PRI x".to_vec(), false, true),
            (b"g".to_vec(), false, true),
            (b"\n".to_vec(), false, false),
            (b"\r\n".to_vec(), true, false),
            (PREFACE[..23].to_vec(), false, true),
            (b"GET / HTTP/1.1\r\nHost:".to_vec(), false, true),
            (b"G".to_vec(), true, true),
            (b"POST /upload HTTP/1.1\r\n".to_vec(), true, true),
            (b"PROPFIND / HT".to_vec(), true, true),
            (PREFACE.to_vec(), false, false),
            ([PREFACE, EMPTY_SETTINGS].concat(), false, false),
            ([PREFACE, EMPTY_SETTINGS, &GET[..11]].concat(), false, true),
        ] {
            let mut client = Client::connect(instance.address).await;
            if served {
                client.get("/").await;
            }
            client.tcp.write_all(&begin).await.unwrap();
            clients.push((client.tcp, is_head));
        }
        let mut expected: Vec<_> = clients
            .iter()
            .filter(|(_, is_head)| *is_head)
            .map(|(tcp, _)| (tcp.local_addr().unwrap().to_string(), Stage::Head.as_str()))
            .collect();
        expected.sort();
        let handle = instance.handle.clone();
        let shown = async || handle.status().connections.len() == expected.len();
        eventually("the heads", shown).await;
        handle.shutdown();

        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.exit_status(), &report.server),
            (Outcome::Clean, 0, &ServerOutcome::Done),
            "{server:?} {report:?}"
        );
        let named = report.unfinished_heads.iter();
        let mut named: Vec<_> = named
            .map(|one| (one.peer.unwrap().to_string(), one.stage.as_str()))
            .collect();
        named.sort();
        assert_eq!(named, expected, "{server:?}");
        assert_eq!((report.aborted, report.rejected), (vec![], 0));
        for (tcp, _) in &mut clients {
            let end = async { while tcp.read_u8().await.is_ok() {} };
            within("the connection ends", end).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_whole_soon_after_the_settle_is_served() {
    for server in SERVERS {
        for served_before in [true, false] {
            // A busy machine may take longer for the rest than the gate stays open for it.
            let mut tries = 0;
            while !is_served(server, served_before).await {
                tries += 1;
                assert!(tries < 10, "{server:?} {served_before}");
            }
        }
    }
}

async fn is_served(server: Server, served_before: bool) -> bool {
    let builder = quiet_builder().grace(LONG).settle(Duration::ZERO);
    let instance = Instance::start(server, builder).await;
    let mut client = Client::connect(instance.address).await;
    if served_before {
        client.get("/").await;
    }
    client.tcp.write_all(b"GET / HT").await.unwrap();
    let handle = instance.handle.clone();
    let begun = async || !handle.status().connections.is_empty();
    eventually("its beginning is read", begun).await;
    handle.shutdown();
    for piece in [&b"TP/1.1\r\n"[..], b"Host: x\r\n", b"\r", b"\n"] {
        sleep(Duration::from_millis(20)).await;
        client.tcp.write_all(piece).await.unwrap();
    }
    let (head, _) = within("the answer", client.answer()).await;
    let report = instance.report().await;
    let served = head.starts_with("http/1.1 200");
    // One way or the other it was answered.
    assert!(served || head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(report.rejected, u64::from(!served), "{report:?}");
    assert_eq!(
        (report.outcome, report.unfinished_heads),
        (Outcome::Clean, vec![])
    );
    served
}

/// To the moment: the gate shuts when the head is whole, or half a second later; what is not whole
/// then has a second more.
#[tokio::test(start_paused = true)]
async fn the_gate_waits_for_the_rest_of_a_head_and_then_the_drain() {
    let http1: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let http2 = [PREFACE, EMPTY_SETTINGS, GET].concat();
    // Within the frame's payload; or just when it begins, so that its kind is not known yet.
    for (bytes, cut) in [(http1, 1), (http1, 20), (&http2, 43), (&http2, 34)] {
        for comes in [true, false] {
            let builder = quiet_builder().grace(LONG).settle(Duration::ZERO);
            let lifecycle = builder.build().unwrap();
            let handle = lifecycle.handle();
            let (mut theirs, ours) = duplex(1 << 16);
            let served = serve(&lifecycle, ours, hello);
            let stop = handle.stop_accepting();
            let run = tokio::spawn(lifecycle.run(stop));
            handle.watch().reached(Phase::Ready).await;
            let (begin, rest) = bytes.split_at(cut);
            theirs.write_all(begin).await.unwrap();
            // In one read the head would never be seen half.
            let half = async || !handle.status().connections.is_empty();
            eventually("it is read", half).await;
            let begun = Instant::now();
            handle.shutdown();
            sleep(Duration::from_millis(300)).await;
            assert_eq!(handle.phase(), Phase::Settling);
            if comes {
                theirs.write_all(rest).await.unwrap();
            }
            handle.watch().reached(Phase::Draining).await;
            let gate_shut = begun.elapsed();
            let report = within("the run", run).await.unwrap();
            let took = if comes { (300, 300) } else { (500, 1500) };
            assert_eq!(
                (gate_shut.as_millis(), report.took.as_millis()),
                took,
                "{bytes:?} {cut}"
            );
            assert_eq!((report.outcome, report.rejected), (Outcome::Clean, 0));
            assert_eq!(report.completed, u64::from(comes));
            assert_eq!(report.unfinished_heads.len(), usize::from(!comes));
            // Ended by then, though nobody told its server.
            assert!(comes || theirs.read_to_end(&mut Vec::new()).now_or_never().is_some());
            drop(theirs);
            within("the connection", served).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_turns_out_to_be_none_of_a_request_is_no_head() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(64);
    let mut stream = handle.wrap_io(ours, None);
    let hello = [PREFACE, EMPTY_SETTINGS].concat();
    let (begin, rest) = hello.split_at(PREFACE.len() + 2);
    for (piece, heads) in [(begin, 1), (rest, 0), (&GET[..5], 1), (&GET[5..], 0)] {
        theirs.write_all(piece).await.unwrap();
        stream.read_exact(&mut vec![0; piece.len()]).await.unwrap();
        assert!(stream.read_u8().now_or_never().is_none());
        assert_eq!(handle.status().connections.len(), heads, "{piece:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_http2_in_reserve_is_told_to_end() {
    const GOAWAY: u8 = 7;
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(LONG)).await;
        // One that answers, and one that only listens.
        let tcp = TokioIo::new(TcpStream::connect(instance.address).await.unwrap());
        let shaken = http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), tcp);
        let (_client, connection) = within("the handshake", shaken).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut listens = TcpStream::connect(instance.address).await.unwrap();
        let hello = [PREFACE, EMPTY_SETTINGS].concat();
        listens.write_all(&hello).await.unwrap();
        // The server's own settings: it has read who it speaks to.
        let mut frame = [0; 9];
        within("a frame", listens.read_exact(&mut frame))
            .await
            .unwrap();
        assert_eq!(frame[3], EMPTY_SETTINGS[3]);
        let payload = usize::from(frame[2]);
        within("its rest", listens.read_exact(&mut vec![0; payload]))
            .await
            .unwrap();
        instance.handle.shutdown();
        let mut kinds = Vec::new();
        while within("a frame", listens.read_exact(&mut frame))
            .await
            .is_ok()
        {
            kinds.push(frame[3]);
            let payload = usize::from(frame[2]);
            let _ = listens.read_exact(&mut vec![0; payload]).await;
        }
        assert!(kinds.contains(&GOAWAY), "{server:?} {kinds:?}");
        within("the end", connection).await.unwrap().unwrap();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server, report.unfinished_heads),
            (Outcome::Clean, ServerOutcome::Done, vec![]),
            "{server:?}"
        );
    }
}

/// Told when a quarter of the drain is left and something is under way.
struct Hurries(Arc<AtomicBool>);

impl Managed for Hurries {
    fn name(&self) -> &str {
        "hurries"
    }

    fn drain_ends_soon(&self) {
        self.0.store(true, SeqCst);
    }
}

/// All else is over half a second before a quarter of the drain is left, and before nothing is.
#[tokio::test(start_paused = true)]
async fn half_a_head_alone_does_not_lead_to_the_end_of_the_drain() {
    let http2 = [PREFACE, EMPTY_SETTINGS].concat();
    let served = [PREFACE, EMPTY_SETTINGS, GET].concat();
    for (begin, quarters, heads) in [
        (&b"GET / HT"[..], 3, 1),
        (b"GET / HT", 4, 1),
        (&http2, 4, 0),
        (&served, 3, 0),
    ] {
        let hurry = Arc::new(AtomicBool::new(false));
        let (log, _guard) = Log::of_this_thread(Level::INFO);
        let builder = quiet_builder().grace(Duration::from_secs(20));
        let builder = builder.manage(Hurries(hurry.clone()));
        let lifecycle = builder.settle(Duration::ZERO).build().unwrap();
        let handle = lifecycle.handle();
        let (mut theirs, ours) = duplex(64);
        let mut stream = handle.wrap_io(ours, None);
        theirs.write_all(begin).await.unwrap();
        let held = handle.in_flight().token();
        let drain = lifecycle.budget().drain();
        let ends = drain * quarters / 4 - Duration::from_millis(500);
        handle.shutdown();
        tokio::spawn(async move {
            sleep(ends).await;
            drop(held);
        });
        let server = async move { while stream.read_u8().await.is_ok() {} };
        let report = within("the run", lifecycle.run(server)).await;
        assert_eq!(
            (report.outcome, report.unfinished_heads.len()),
            (Outcome::Clean, heads),
            "{report:?}"
        );
        assert!(report.took <= drain, "{report:?}");
        // A head alone is no reason for that: the rest of it is refused.
        assert_eq!(hurry.load(SeqCst), quarters == 4);
        let text = log.text();
        assert!(text.contains("stopping previous=draining"), "{text}");
    }
}
