//! Connections that would hold a server for ever: each ends at the deadline, and is named.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_handoff::lifecycle::{Outcome, Phase, Report, ServerOutcome, Stage, Unfinished};

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};
use super::piped::{EMPTY_SETTINGS, GET, PREFACE};
use crate::support::websocket::WebSocket;

pub(crate) async fn sent(address: SocketAddr, pieces: &[&[u8]]) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    for piece in pieces {
        tcp.write_all(piece).await.unwrap();
    }
    tcp
}

async fn stages(instance: &Instance) -> Vec<Stage> {
    let status = instance.handle.status();
    let requests = status.requests.iter().chain(&status.connections);
    requests.map(|unfinished| unfinished.stage).collect()
}

pub(crate) async fn shows(instance: &Instance, stage: Stage) {
    let shown = async || stages(instance).await.contains(&stage);
    eventually(stage.as_str(), shown).await;
}

/// The one that is named with this peer.
fn of_peer(report: &Report, client: &TcpStream) -> Unfinished {
    let peer = client.local_addr().unwrap();
    let mut of_peer = report.aborted.iter().filter(|one| one.peer == Some(peer));
    let one = of_peer
        .next()
        .unwrap_or_else(|| panic!("{peer} is not named: {report:?}"));
    assert!(
        of_peer.next().is_none(),
        "{peer} is named twice: {report:?}"
    );
    one.clone()
}

/// Reads HTTP/2 until an answer has begun.
async fn answered(tcp: &mut TcpStream) {
    const HEADERS: u8 = 1;
    let mut frame = [0; 9];
    while frame[3] != HEADERS {
        within("a frame", tcp.read_exact(&mut frame)).await.unwrap();
        let mut payload = vec![0; usize::from(frame[2])];
        within("its rest", tcp.read_exact(&mut payload))
            .await
            .unwrap();
    }
}

/// Reads until the connection has ended, one way or another.
pub(crate) async fn ended(tcp: &mut TcpStream) {
    let mut piece = vec![0; 1 << 20];
    let end = async { while tcp.read(&mut piece).await.is_ok_and(|n| n > 0) {} };
    within("the connection ends", end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_hangs_is_named_and_ends_at_the_deadline() {
    for server in SERVERS {
        // A second of drain, and a margin that a busy machine can wind up in.
        let [grace, hooks] = [20, 18].map(Duration::from_secs);
        let builder = quiet_builder().grace(grace).hook_time(hooks);
        let instance = Instance::start(server, builder).await;
        let address = instance.address;
        let mut head = sent(address, &[b"GET / HTTP/1.1\r\nHost:"]).await;
        let half = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
        let mut body = sent(address, &[half]).await;
        let mut never = Client::connect(address).await;
        never.send("/never").await;
        let mut unread = Client::connect(address).await;
        unread.send("/large").await;
        let mut socket = WebSocket::open(address, "/deaf").await;
        let mut silent = sent(address, &[PREFACE]).await;
        let mut no_pong = sent(address, &[PREFACE, EMPTY_SETTINGS, GET]).await;
        for stage in [Stage::Head, Stage::Handler, Stage::Unsent, Stage::Upgraded] {
            shows(&instance, stage).await;
        }
        answered(&mut no_pong).await;
        let handle = instance.handle.clone();
        eventually("both handlers", async || handle.in_flight().count() == 2).await;
        handle.shutdown();

        let report = instance.report().await;
        assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
        // A figure and no assertion: this machine may be busy.
        let over = report.took.saturating_sub(Duration::from_secs(1));
        println!(
            "{server:?}: seven that hang were cut off, all was over {over:?} after the deadline"
        );
        // It ended by itself, because all its connections had.
        assert_eq!(report.server, ServerOutcome::Done, "{report:?}");
        for (tcp, stage) in [
            (&unread.tcp, Stage::Unsent),
            (socket.tcp(), Stage::Upgraded),
            (&no_pong, Stage::Http2),
        ] {
            let named = of_peer(&report, tcp);
            assert_eq!(named.stage, stage, "{report:?}");
            assert_eq!(
                (&named.method, &named.route, &named.path),
                (&None, &None, &None)
            );
        }
        let mut routes: Vec<_> = report
            .aborted
            .iter()
            .filter_map(|one| one.route.as_deref())
            .collect();
        routes.sort_unstable();
        assert_eq!(routes, ["/never", "/upload"], "{report:?}");
        assert_eq!(report.aborted.len(), 5, "{report:?}");
        // The other two have asked for nothing, of which one was about to.
        let heads = report.unfinished_heads.iter().map(|one| one.peer);
        let expected = [Some(head.local_addr().unwrap())];
        assert!(heads.eq(expected), "{report:?}");
        assert_eq!((report.in_flight_at_signal, report.upgraded), (2, 1));
        assert_eq!(report.completed, 0);

        // Nothing is left of them, though the process lives on.
        let nothing = async || stages_of(&handle).is_empty() && handle.in_flight().is_idle();
        eventually("nothing is in flight", nothing).await;
        for tcp in [
            &mut head,
            &mut body,
            &mut never.tcp,
            &mut unread.tcp,
            &mut silent,
            &mut no_pong,
        ] {
            ended(tcp).await;
        }
        ended(socket.tcp_mut()).await;
    }
}

pub(crate) fn stages_of(handle: &tower_handoff::lifecycle::LifecycleHandle) -> Vec<Stage> {
    let connections = handle.status().connections;
    connections
        .iter()
        .map(|connection| connection.stage)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_not_whole_is_waited_for_and_answered() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(90))).await;
        // On a connection that was served before, and not in two pieces but in many.
        let mut client = Client::connect(instance.address).await;
        assert!(client.get("/").await.0.starts_with("http/1.1 200"));
        client.tcp.write_all(b"G").await.unwrap();
        shows(&instance, Stage::Head).await;
        // Longer than heads are waited for when all else is over.
        let held = instance.handle.in_flight().token();
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        for piece in [&b"ET / HTTP/1.1\r\n"[..], b"Host: x\r", b"\n\r"] {
            client.tcp.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(stages_of(&instance.handle), [Stage::Head]);
        }
        assert!(!instance.run.is_finished());
        client.tcp.write_all(b"\n").await.unwrap();
        let (head, _) = within("the answer", client.answer()).await;
        assert!(
            head.starts_with("http/1.1 503") && head.contains("connection: close"),
            "{head}"
        );
        drop(held);
        let report = instance.report().await;
        assert_eq!((report.outcome, report.rejected), (Outcome::Clean, 1));
        assert_eq!((report.aborted, report.unfinished_heads), (vec![], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_shown_and_waited_for() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(90))).await;
        let mut client = Client::connect(instance.address).await;
        client.send("/large").await;
        shows(&instance, Stage::Unsent).await;
        // For the layers the request is over: the server has taken its body.
        assert!(instance.handle.in_flight().is_idle());
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        let (head, body) = within("the answer", client.answer()).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body.len(), super::instance::LARGE);
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server),
            (Outcome::Clean, ServerOutcome::Done)
        );
    }
}
