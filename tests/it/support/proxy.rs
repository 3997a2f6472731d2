//! A TCP proxy that misbehaves on request: a black hole, a cut cable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Listens on a port of its own and passes bytes on to another port of 127.0.0.1.
///
/// Runs on the test's runtime and ends, with every connection, when the value is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    accepted: Arc<AtomicUsize>,
    faults: watch::Sender<Faults>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    hole: bool,
    severed: bool,
    /// Connections accepted under an earlier number are closed.
    cut: u64,
    /// Those that are in the hole, as they were then, are closed.
    cleared: u64,
    target: u16,
    /// How late every answer is.
    late: Duration,
}

impl Proxy {
    /// Passes on to `target` until told otherwise.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let faults = watch::Sender::new(Faults {
            target,
            ..Faults::default()
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, watched) = (Arc::clone(&accepted), faults.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(inbound, watched.clone()));
            }
        });
        Self {
            port,
            accepted,
            faults,
            task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections lead from now on, as when a name has got another address.
    pub(crate) fn lead_to(&self, target: u16) {
        self.faults.send_modify(|faults| faults.target = target);
    }

    /// Holds every answer up on connections that begin from now on.
    pub(crate) fn slow_down(&self, late: Duration) {
        self.faults.send_modify(|faults| faults.late = late);
    }

    /// `redis://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many connections came in so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Opens or closes the black hole. While it is open, connections are accepted and nothing
    /// comes out of them; a connection that was in it never works again, as one that a router
    /// has forgotten.
    pub(crate) fn black_hole(&self, open: bool) {
        self.faults.send_modify(|faults| faults.hole = open);
    }

    /// Closes what fell into the black hole, which nobody speaks on any more.
    pub(crate) fn clear_hole(&self) {
        self.faults.send_modify(|faults| faults.cleared += 1);
    }

    /// Closes every connection, and new ones as soon as they come in, until told otherwise.
    pub(crate) fn sever(&self, severed: bool) {
        self.faults.send_modify(|faults| faults.severed = severed);
        self.cut();
    }

    /// Closes every connection of the moment; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.faults.send_modify(|faults| faults.cut += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut inbound: TcpStream, mut faults: watch::Receiver<Faults>) {
    let begun = *faults.borrow();
    if begun.severed {
        return;
    }
    if !begun.hole {
        let Ok(mut outbound) = TcpStream::connect(("127.0.0.1", begun.target)).await else {
            return;
        };
        tokio::select! {
            () = both_ways(&mut inbound, &mut outbound, begun.late) => return,
            changed = faults.wait_for(|now| now.hole || now.cut != begun.cut) => {
                if changed.is_err() || changed.is_ok_and(|now| now.cut != begun.cut) {
                    return;
                }
            }
        }
        // Both ends stay open and nothing moves any more.
        stays(begun.cut, &mut faults).await;
        drop(outbound);
    } else {
        stays(begun.cut, &mut faults).await;
    }
}

/// In the hole.
async fn stays(cut: u64, faults: &mut watch::Receiver<Faults>) {
    let cleared = faults.borrow().cleared;
    let ends = |now: &Faults| now.cut != cut || now.cleared != cleared;
    let _ = faults.wait_for(ends).await;
}

async fn both_ways(inbound: &mut TcpStream, outbound: &mut TcpStream, late: Duration) {
    if late.is_zero() {
        let _ = copy_bidirectional(inbound, outbound).await;
        return;
    }
    let ((mut asks, mut hears), (mut answers, mut asked)) = (inbound.split(), outbound.split());
    let back = async {
        // As much as Redis says of all commands at once, or that alone would be late several times.
        let mut some = vec![0; 1 << 16];
        while let Ok(read @ 1..) = answers.read(&mut some).await {
            tokio::time::sleep(late).await;
            if hears.write_all(&some[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut asks, &mut asked) => {}
        () = back => {}
    }
}
