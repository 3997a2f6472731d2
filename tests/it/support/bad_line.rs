//! A TCP proxy that is late with requests, loses requests or answers, and ends connections in the
//! middle of either; `proxy.rs` has the black hole.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Listens on a port of its own and passes bytes on to another port of 127.0.0.1.
///
/// What a client sent arrives, however late, also when the client has hung up or was cut off
/// meanwhile. Runs on the test's runtime.
#[derive(Debug)]
pub(crate) struct BadLine {
    port: u16,
    faults: watch::Sender<Faults>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    delay: Duration,
    /// What comes meanwhile is kept back, until this has grown.
    keeps_back: bool,
    let_through: u64,
    swallow: bool,
    lose: bool,
    halve: Option<Halved>,
    /// Connections accepted under an earlier number are closed.
    cut: u64,
}

/// What ends in the middle, and its connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halved {
    Requests,
    Answers,
}

impl BadLine {
    /// Passes on to `target` until told otherwise.
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let faults = watch::Sender::new(Faults::default());
        let watched = faults.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                tokio::spawn(carry(inbound, target, watched.clone()));
            }
        });
        Self { port, faults, task }
    }

    /// `redis://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How long requests are under way from now on. They never overtake one another.
    pub(crate) fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Whether requests are kept back that come from now on, and all that follows them on their
    /// connections, as in the buffers of whoever sends again until the network is well.
    pub(crate) fn keep_back(&self, keep: bool) {
        self.faults.send_modify(|faults| faults.keeps_back = keep);
    }

    /// What was kept back goes on its way.
    pub(crate) fn let_through(&self) {
        self.faults.send_modify(|faults| faults.let_through += 1);
    }

    /// Whether answers are lost. A connection that lost one is closed with the next that comes.
    pub(crate) fn swallow(&self, swallow: bool) {
        self.faults.send_modify(|faults| faults.swallow = swallow);
    }

    /// Whether requests are lost, while answers and messages still come. A connection that lost one is
    /// to be cut afterwards: what follows may begin in the middle of a command.
    pub(crate) fn lose(&self, lose: bool) {
        self.faults.send_modify(|faults| faults.lose = lose);
    }

    /// What arrives by half only from now on.
    pub(crate) fn halve(&self, what: Option<Halved>) {
        self.faults.send_modify(|faults| faults.halve = what);
    }

    /// Closes every connection of the moment; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.faults.send_modify(|faults| faults.cut += 1);
    }
}

impl Drop for BadLine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(inbound: TcpStream, target: u16, mut faults: watch::Receiver<Faults>) {
    let begun = *faults.borrow();
    let Ok(outbound) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (from_client, to_client) = inbound.into_split();
    let (from_server, to_server) = outbound.into_split();
    let (queue, queued) = mpsc::unbounded_channel();
    tokio::spawn(deliver(queued, to_server, faults.clone()));
    tokio::select! {
        () = requests(from_client, queue, faults.clone()) => {}
        () = answers(from_server, to_client, faults.clone()) => {}
        _ = faults.wait_for(|now| now.cut != begun.cut) => {}
    }
}

struct Late {
    due: Instant,
    /// What has to grow first.
    kept_back: Option<u64>,
    bytes: Vec<u8>,
}

async fn requests(
    mut client: OwnedReadHalf,
    queue: mpsc::UnboundedSender<Late>,
    faults: watch::Receiver<Faults>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let now = *faults.borrow();
        if now.lose {
            continue;
        }
        let halved = now.halve == Some(Halved::Requests);
        let kept = if halved { read / 2 } else { read };
        let late = Late {
            due: Instant::now() + now.delay,
            kept_back: now.keeps_back.then_some(now.let_through),
            bytes: buffer[..kept].to_vec(),
        };
        if queue.send(late).is_err() || halved {
            return;
        }
    }
}

async fn deliver(
    mut queued: mpsc::UnboundedReceiver<Late>,
    mut server: OwnedWriteHalf,
    mut faults: watch::Receiver<Faults>,
) {
    while let Some(late) = queued.recv().await {
        sleep_until(late.due).await;
        if let Some(before) = late.kept_back {
            // The test that ends lets nothing through.
            let through = faults.wait_for(|now| now.let_through > before).await;
            if through.is_err() {
                return;
            }
        }
        if server.write_all(&late.bytes).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    faults: watch::Receiver<Faults>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lost = false;
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        let now = *faults.borrow();
        if now.swallow {
            lost = true;
        } else if now.halve == Some(Halved::Answers) {
            let _ = client.write_all(&buffer[..read / 2]).await;
            return;
        } else if lost || client.write_all(&buffer[..read]).await.is_err() {
            // Whatever followed would be taken for another request's answer.
            return;
        }
    }
}
