//! Connections that would hold a server for ever: each ends at the deadline, and is named.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_handoff::lifecycle::{Outcome, Phase, Report, ServerOutcome, Stage, Unfinished};

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};
use crate::support::websocket::WebSocket;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The head of `GET /`, from HPACK's static table, on stream 1, and its end.
const GET: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];

async fn sent(address: SocketAddr, pieces: &[&[u8]]) -> TcpStream {
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

async fn shows(instance: &Instance, stage: Stage) {
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
async fn ended(tcp: &mut TcpStream) {
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

fn stages_of(handle: &tower_handoff::lifecycle::LifecycleHandle) -> Vec<Stage> {
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

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_do_not_hold_the_drain() {
    for server in SERVERS {
        // So long that only a drain that does not wait ends in time.
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(3600))).await;
        let _silent = Client::connect(instance.address).await;
        let mut idle = Client::connect(instance.address).await;
        idle.get("/").await;
        let mut large = Client::connect(instance.address).await;
        large.get("/large").await;
        // A body in the same packet, one that comes later, one that nobody reads.
        let mut clients = Vec::new();
        for (path, answer) in [("/upload", "4"), ("/unread", "early")] {
            for apart in [false, true] {
                let mut client = Client::connect(instance.address).await;
                let mut request =
                    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
                let rest = if apart {
                    "BODY"
                } else {
                    request += "BODY";
                    ""
                };
                client.tcp.write_all(request.as_bytes()).await.unwrap();
                if apart && path == "/upload" {
                    shows(&instance, Stage::Handler).await;
                }
                let early = apart && path == "/unread";
                if !early {
                    client.tcp.write_all(rest.as_bytes()).await.unwrap();
                }
                let (_, body) = within("the answer", client.answer()).await;
                assert_eq!(body, answer.as_bytes());
                if early {
                    // The connection may have been closed over it.
                    let _ = client.tcp.write_all(rest.as_bytes()).await;
                }
                clients.push(client);
            }
        }
        assert_eq!(stages_of(&instance.handle), []);
        instance.handle.shutdown();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server),
            (Outcome::Clean, ServerOutcome::Done)
        );
        assert_eq!(report.upgraded, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_leaves_nothing_behind() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(3600))).await;
        let head = sent(instance.address, &[b"GET / HT"]).await;
        let mut unread = Client::connect(instance.address).await;
        unread.send("/large").await;
        let socket = WebSocket::open(instance.address, "/deaf").await;
        for stage in [Stage::Head, Stage::Unsent, Stage::Upgraded] {
            shows(&instance, stage).await;
        }
        drop((head, unread, socket));
        let handle = instance.handle.clone();
        eventually("nothing is listed", async || stages_of(&handle).is_empty()).await;
        handle.shutdown();
        assert_eq!(instance.report().await.outcome, Outcome::Clean);
    }
}

/// What the server makes of it is its affair; the drain comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_do_not_hold_the_drain() {
    let grace = Duration::from_secs(3600);
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(grace)).await;
        let address = instance.address;
        let mut refused = Vec::new();
        for bytes in [
            &b"\r\n\r\n\0"[..],
            b"NO SUCH\r\n\r\n",
            &[0x16, 3, 1, 0, 5, b'\n'],
        ] {
            refused.push(sent(address, &[bytes]).await);
        }
        let _half_a_preface = sent(address, &[&PREFACE[..11]]).await;
        // A request like any other, though it begins as HTTP/2 does.
        let mut odd = Client::connect(address).await;
        odd.tcp
            .write_all(b"PRI /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(odd.answer().await.0.starts_with("http/1.1 404"));
        for tcp in &mut refused {
            ended(tcp).await;
        }
        assert_eq!(stages_of(&instance.handle), [Stage::Head]);
        instance.handle.shutdown();
        let report = instance.report().await;
        assert_eq!(report.outcome, Outcome::Clean, "{server:?} {report:?}");
    }
}
