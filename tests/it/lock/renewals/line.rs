//! A TCP proxy that keeps every write of its clients.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

type Writes = Arc<Mutex<Vec<Vec<u8>>>>;

/// Listens on a port of its own and passes bytes on to another port of 127.0.0.1, on the test's
/// runtime.
#[derive(Debug)]
pub(super) struct Line {
    port: u16,
    writes: Writes,
    cuts: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Line {
    pub(super) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (writes, cuts) = (Writes::default(), watch::Sender::new(()));
        let (kept, cut) = (writes.clone(), cuts.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (kept, mut cut) = (kept.clone(), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = cut.changed() => {}
                        () = carry(client, target, kept) => {}
                    }
                });
            }
        });
        Self {
            port,
            writes,
            cuts,
            task,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What came in, each write as it was read.
    pub(super) fn writes(&self) -> Vec<Vec<u8>> {
        self.writes.lock().unwrap().clone()
    }

    /// Closes every connection of the moment; new ones are welcome.
    pub(super) fn cut(&self) {
        self.cuts.send_replace(());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, target: u16, writes: Writes) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut asked) = server.into_split();
    let there = async {
        let mut some = vec![0; 256 * 1024];
        while let Ok(read @ 1..) = asks.read(&mut some).await {
            writes.lock().unwrap().push(some[..read].to_vec());
            if asked.write_all(&some[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ = copy(&mut answers, &mut hears) => {}
    }
}
