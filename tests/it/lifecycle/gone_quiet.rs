//! Who was served over HTTP/2 and has vanished holds no drain to its end.

use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tower_handoff::lifecycle::{Outcome, Phase, ServerOutcome, Stage};
use tracing::Level;

use super::common::{quiet_builder, within};
use super::instance::{Instance, SERVERS};
use crate::support::log::Log;

/// Its preface and settings, and the head of `GET /` on stream 1.
const ASKS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0ponged..";

#[tokio::test(flavor = "multi_thread")]
async fn who_was_answered_and_answers_no_ping_holds_no_drain() {
    for server in SERVERS {
        // Five seconds of drain, of which its peer has half.
        let [grace, hooks] = [20, 14].map(Duration::from_secs);
        let builder = quiet_builder().grace(grace).hook_time(hooks);
        let instance = Instance::start(server, builder).await;
        let mut tcp = TcpStream::connect(instance.address).await.unwrap();
        tcp.write_all(ASKS).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            answer.push(within("an answer", tcp.read_u8()).await.unwrap());
        }
        instance.handle.shutdown();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, &report.server, &report.aborted),
            (Outcome::Clean, &ServerOutcome::Done, &vec![]),
            "{server:?} {report:?}"
        );
    }
}

/// When a peer that was served says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pongs {
    Never,
    /// Before it was told, and no more.
    Before,
    /// To the goodbye that its server heard of when the settle was over.
    ToGoodbye,
    /// When its server stops.
    ToStop,
    /// Eight seconds later, and behind what it takes then.
    Late,
}

#[tokio::test(start_paused = true)]
async fn whose_peer_is_there_is_waited_for() {
    for (pongs, answer, takes, left, is_held) in [
        (Pongs::Never, 0, 0, 15_000, false),
        (Pongs::Before, 0, 0, 15_000, false),
        (Pongs::ToGoodbye, 0, 0, 15_000, true),
        (Pongs::ToStop, 0, 0, 15_000, true),
        // More than goes out at once, and it is taken or is not.
        (Pongs::Before, 100, 100, 15_000, false),
        (Pongs::Before, 100, 0, 15_000, true),
        // It is taken when the time for a word is over, and the `PING` is behind it.
        (Pongs::Late, 200, 200, 15_000, true),
        // It has time for it.
        (Pongs::Late, 0, 0, 24_000, true),
        // Half of what is left is enough for a word, or is not.
        (Pongs::Never, 0, 0, 2100, false),
        (Pongs::Never, 0, 0, 1900, true),
    ] {
        let (log, _guard) = Log::of_this_thread(Level::WARN);
        let builder = quiet_builder().grace(Duration::from_secs(30));
        let lifecycle = builder.build().unwrap();
        let (handle, drain) = (lifecycle.handle(), lifecycle.budget().drain());
        let (mut theirs, ours) = duplex(64);
        let mut stream = handle.wrap_io(ours, None);
        let goodbye = (pongs == Pongs::ToGoodbye).then(|| stream.goodbye());
        theirs.write_all(ASKS).await.unwrap();
        stream.read_exact(&mut [0; ASKS.len()]).await.unwrap();
        let server = async move {
            let (mut reader, mut writer) = split(stream);
            let reads = async { while reader.read_u8().await.is_ok() {} };
            let writes = async {
                let _ = writer.write_all(&vec![b'x'; answer]).await;
                let _ = writer.flush().await;
                pending::<()>().await;
            };
            // As h2 does.
            tokio::select! {
                biased;
                () = writes => {}
                () = reads => {}
            }
        };
        let held = handle.in_flight().token();
        let (before, stop) = (
            handle.watch().reached(Phase::Ready),
            handle.stop_accepting(),
        );
        let peer = tokio::spawn(async move {
            match pongs {
                Pongs::Never => {}
                Pongs::Before => before.await,
                Pongs::ToGoodbye => goodbye.expect("it was taken").await,
                Pongs::ToStop => stop.await,
                Pongs::Late => {
                    stop.await;
                    sleep(Duration::from_secs(8)).await;
                    theirs.read_exact(&mut vec![0; takes]).await.unwrap();
                }
            }
            if pongs != Pongs::Never {
                theirs.write_all(PONG).await.unwrap();
            }
            if pongs != Pongs::Late {
                theirs.read_exact(&mut vec![0; takes]).await.unwrap();
            }
            theirs
        });
        let ends = handle.clone();
        tokio::spawn(async move {
            ends.watch().reached(Phase::Ready).await;
            sleep(Duration::from_secs(1)).await;
            ends.shutdown();
            sleep(drain - Duration::from_millis(left)).await;
            drop(held);
        });
        let report = within("the run", lifecycle.run(server)).await;
        drop(peer);
        let stages: Vec<_> = report.aborted.iter().map(|one| one.stage).collect();
        let (outcome, expected) = match is_held {
            true => (Outcome::Forced, &[Stage::Http2][..]),
            false => (Outcome::Clean, &[][..]),
        };
        assert_eq!(
            (report.outcome, &stages[..], report.took >= drain),
            (outcome, expected, is_held),
            "{pongs:?} {answer} {takes} {left} {report:?}"
        );
        // What it had not taken in is nowhere else to be seen.
        let is_told = log.text().contains("an answer may have been lost");
        assert_eq!(is_told, !is_held, "{pongs:?} {}", log.text());
    }
}
