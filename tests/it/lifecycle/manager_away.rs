//! A service manager that does not listen takes no time that is somebody else's.

use std::future::pending;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::Instant;
use tower_handoff::BoxError;
use tower_handoff::lifecycle::{BoxFuture, Lifecycle, Managed, Phase, Platform};

use super::common::Journal;

const SECOND: Duration = Duration::from_secs(1);

/// A socket that takes nothing in any more, and its name as `NOTIFY_SOCKET` has it.
fn full() -> (UnixDatagram, String) {
    let name = format!("handoff-full-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    for _ in 0..100_000 {
        match filler.send_to_addr(b"x", &address) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return (socket, format!("@{name}"));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("a queue without an end");
}

/// Hangs at the end, and notes when it hears that the drain begins.
struct Part(Journal, Instant);

impl Managed for Part {
    fn name(&self) -> &str {
        "part"
    }

    fn drain_begins(&self) {
        let Self(journal, begun) = self;
        journal.note(format!("drain at {:?}", begun.elapsed()));
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(pending())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_is_out_before_the_grace_is_over() {
    let (_socket, name) = full();
    for grace in [SECOND, 20 * SECOND] {
        let lookup = |variable: &str| (variable == "NOTIFY_SOCKET").then(|| name.clone());
        let (journal, begun) = (Journal::default(), Instant::now());
        let lifecycle = Lifecycle::builder()
            .platform(Platform::detect_with(lookup, |_| false, false))
            .signals(false)
            .grace(grace)
            .settle(grace / 4)
            .manage(Part(journal.clone(), begun))
            .on_shutdown("hook", SECOND / 10, pending)
            .build()
            .unwrap();
        let (handle, margin) = (lifecycle.handle(), lifecycle.budget().margin());
        let draining = {
            let watch = handle.watch();
            tokio::spawn(async move {
                watch.reached(Phase::Draining).await;
                Instant::now()
            })
        };
        handle.shutdown();
        let report = lifecycle.run(pending::<()>()).await;
        // Nothing ended before it had to; the rest of the margin is for the exit.
        assert!(report.took < grace - margin / 4, "{grace:?} {report:?}");
        assert!(report.took > grace - margin, "{grace:?} {report:?}");
        let drained = draining.await.unwrap() - begun;
        assert_eq!(journal.read(), [format!("drain at {drained:?}")]);
    }
}
