//! What a process does under the lock: it uses the resource, and tells it how.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixStream;
use tokio::time::sleep;
use tower_handoff::lock::LockGuard;

use super::super::rig::ms;
use super::clock::now_us;
use super::worker::Errand;
use crate::support::random::Random;

/// Writes to the resource as long as it holds the lock.
pub(super) async fn use_it(
    errand: &Errand,
    task: u32,
    (asked, in_line): (u64, u64),
    guard: LockGuard,
) -> std::io::Result<String> {
    let granted = now_us();
    let mut random = Random::new(errand.seed ^ guard.fence().get());
    let held = |guard: &LockGuard| errand.careless || guard.check().is_ok();
    let mut resource = Conversation::begin(&errand.socket).await?;
    let mut checked = now_us();
    if !held(&guard) {
        return Ok("lost before it began".to_owned());
    }
    let (process, key, fence) = (errand.process, guard.key(), guard.fence());
    let begin =
        format!("begin {process} {task} {key} {fence} {asked} {in_line} {granted} {checked}");
    if !resource.says(&begin).await? {
        resource.says(&format!("end {checked} lost")).await?;
        return Ok("refused".to_owned());
    }
    let (writes, pause) = match random.below(64) {
        _ if errand.brisk => (1, 0),
        // Longer than a short lease: it is renewed.
        0 => (12, errand.lease_ms.min(1_000) / 8),
        1..=16 => (1, 0),
        _ => (1 + random.below(3), 1 + random.below(6)),
    };
    let mut kept = true;
    for _ in 0..writes {
        tokio::select! {
            biased;
            () = guard.lost(), if !errand.careless => {}
            () = sleep(ms(pause)) => {}
        }
        let now = now_us();
        kept = held(&guard);
        if !kept {
            break;
        }
        checked = now;
        // What is refused here was lost a moment ago; a fence is for that.
        resource.says(&format!("write {checked}")).await?;
    }
    let end = if kept { "kept" } else { "lost" };
    resource.says(&format!("end {checked} {end}")).await?;
    if random.below(8) == 0 {
        guard.release().await;
    }
    Ok(end.to_owned())
}

struct Conversation(BufStream<UnixStream>);

impl Conversation {
    async fn begin(socket: &Path) -> std::io::Result<Self> {
        Ok(Self(BufStream::new(UnixStream::connect(socket).await?)))
    }

    /// Whether the resource accepts this.
    async fn says(&mut self, line: &str) -> std::io::Result<bool> {
        self.0.write_all(format!("{line}\n").as_bytes()).await?;
        self.0.flush().await?;
        let mut answer = String::new();
        self.0.read_line(&mut answer).await?;
        Ok(answer == "ok\n")
    }
}
