//! Who started the process, as systemd does, is told of its life, and stops it at every stage.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::{sleep, timeout};

use super::SERVERS;
use super::sessions::in_flight;
use crate::support::http::Client;
use crate::support::testbed::Testbed;

/// The socket of a service manager, and its name as `NOTIFY_SOCKET` has it.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// In no folder, so nothing is left behind.
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("handoff-test-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let socket = StdDatagram::bind_addr(&address).expect("a socket");
        let name = format!("@{name}");
        socket.set_nonblocking(true).expect("a setting");
        Self {
            socket: UnixDatagram::from_std(socket).expect("a runtime"),
            name,
        }
    }

    /// What the process says next.
    async fn hears(&self) -> String {
        let mut text = vec![0; 1024];
        let heard = timeout(Duration::from_secs(30), self.socket.recv(&mut text));
        let length = heard.await.expect("something in time").expect("a datagram");
        text.truncate(length);
        String::from_utf8(text).expect("text")
    }

    async fn hears_of(&self, phase: &str) {
        let heard = self.hears().await;
        let status = heard.lines().find_map(|line| line.strip_prefix("STATUS="));
        assert_eq!(
            status.and_then(|status| status.split(',').next()),
            Some(phase),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn a_manager_hears_of_each_phase() {
    for server in SERVERS {
        let manager = Manager::new();
        let variables = [
            ("SERVER", server),
            ("GRACE_MS", "20000"),
            ("SETTLE_MS", "300"),
            ("NOTIFY_SOCKET", &manager.name),
        ];
        let testbed = Testbed::start(&variables).await;
        assert_eq!(manager.hears().await, "READY=1\nSTATUS=ready");
        let mut client = testbed.client();
        let slow = tokio::spawn(async move { client.get("/sleep/3000").await.status });
        in_flight(&testbed, "/sleep/{ms}").await;
        testbed.signal("TERM");
        assert_eq!(
            manager.hears().await,
            "STOPPING=1\nSTATUS=settling, 1 in flight\nEXTEND_TIMEOUT_USEC=20000000"
        );
        manager.hears_of("draining").await;
        assert_eq!(slow.await.expect("an answer"), 200);
        assert_eq!(manager.hears().await, "STATUS=stopping");
        assert_eq!(testbed.exit().await.code, 0);
    }
}

#[tokio::test]
async fn a_manager_may_listen_in_a_folder() {
    let path = std::env::temp_dir().join(format!("handoff-notify-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let name = path.to_str().expect("text").to_owned();
    let manager = Manager { socket, name };
    let testbed = Testbed::start(&[("NOTIFY_SOCKET", &manager.name)]).await;
    manager.hears_of("ready").await;
    testbed.signal("TERM");
    assert!(manager.hears().await.starts_with("STOPPING=1\n"));
    assert_eq!(testbed.exit().await.code, 0);
    let _ = std::fs::remove_file(&path);
}

#[tokio::test]
async fn a_manager_that_cannot_be_told_changes_nothing() {
    for name in ["/nobody/is/here", "@nobody-is-here", "vsock:2:1", "x"] {
        let testbed = Testbed::start(&[("NOTIFY_SOCKET", name)]).await;
        testbed.until("/ready", 200).await;
        testbed.signal("TERM");
        let exit = testbed.exit().await;
        assert_eq!(exit.code, 0, "{exit:?}");
        assert!(
            exit.stderr.contains("NOTIFY_SOCKET cannot be told"),
            "{exit:?}"
        );
    }
}

/// The three probes, on a listener of their own.
async fn probes_answer(testbed: &Testbed, phase: &str) {
    let mut probes = Client::new(testbed.probe_addr());
    let ready = if phase == "ready" { 200 } else { 503 };
    for (path, status) in [("/health", 200), ("/ready", ready), ("/startup", 200)] {
        let answer = probes.get(path).await;
        assert_eq!(answer.status, status, "{path} in phase {phase}");
        assert_eq!(answer.json()["phase"], phase, "{path}");
    }
}

#[tokio::test]
async fn probes_answer_in_every_phase_and_a_second_signal_ends_each_at_once() {
    for server in SERVERS {
        for last in ["settling", "draining", "stopping"] {
            let manager = Manager::new();
            let settle = if last == "settling" { "30000" } else { "0" };
            let variables = [
                ("SERVER", server),
                ("SETTLE_MS", settle),
                ("GRACE_MS", "90000"),
                ("HOOK_MS", "30000"),
                ("PROBE_LISTEN", "127.0.0.1:0"),
                ("NOTIFY_SOCKET", &manager.name),
            ];
            let testbed = Testbed::start(&variables).await;
            manager.hears_of("ready").await;
            probes_answer(&testbed, "ready").await;
            let mut client = testbed.client();
            if last == "draining" {
                tokio::spawn(
                    async move { client.try_send("GET", "/sleep/60000", None).await.is_err() },
                );
                in_flight(&testbed, "/sleep/{ms}").await;
            }
            testbed.signal("TERM");
            for phase in ["settling", "draining", "stopping"] {
                manager.hears_of(phase).await;
                if phase == last {
                    break;
                }
            }
            probes_answer(&testbed, last).await;
            // What comes sooner is the same request.
            sleep(Duration::from_millis(1100)).await;
            testbed.signal("INT");
            let exit = testbed.exit().await;
            assert_eq!((exit.code, exit.stdout.len()), (130, 0), "{last}: {exit:?}");
        }
    }
}
