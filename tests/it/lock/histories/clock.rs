//! Time that all processes share, and how one learns that a process, or Redis, stood still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

const BETWEEN: Duration = Duration::from_millis(20);
/// All that takes longer is on record.
const SLOW_US: u64 = 120_000;

/// Microseconds of this machine's clock.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_micros()).expect("before the year 500000")
}

/// Resolves when this process's runtime stood still, or was slow: since when.
pub(super) async fn stalled() -> u64 {
    loop {
        let begun = now_us();
        sleep(BETWEEN).await;
        if now_us() - begun > SLOW_US {
            return begun;
        }
    }
}

/// Resolves when Redis stood still, or was slow, or away, and answers again: since when. Its disk may
/// hold it up, or a processor that others use, and no process of ours be slow meanwhile.
pub(super) async fn redis_stalled(port: u16) -> u64 {
    let mut line = None;
    loop {
        let begun = now_us();
        sleep(BETWEEN).await;
        while !answers(&mut line, port).await {
            line = None;
            sleep(BETWEEN).await;
        }
        if now_us() - begun > SLOW_US {
            return begun;
        }
    }
}

async fn answers(line: &mut Option<TcpStream>, port: u16) -> bool {
    let mut answer = [0; 7];
    let asked = async {
        if line.is_none() {
            *line = Some(TcpStream::connect(("127.0.0.1", port)).await?);
        }
        let line = line.as_mut().expect("just now");
        line.write_all(b"PING\r\n").await?;
        line.read_exact(&mut answer).await
    };
    asked.await.is_ok() && answer == *b"+PONG\r\n"
}
