//! The fenced resource: what a database does that refuses a fence smaller than the largest seen.
//!
//! One connection a use, a line a step: `begin PROCESS TASK KEY FENCE ASKED IN_LINE GRANTED CHECKED`,
//! `write CHECKED`, `end CHECKED kept|lost`; each is answered `ok` or `refused`. And one connection
//! a process: `hello PROCESS`, on which it is told to `stop`, and tells of its stalls and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::clock::now_us;
use super::judge::{Disturbance, End, Use, Whom};
use super::worker::Counts;
use crate::support::redis_server::scratch_dir;

/// Listens on a socket of its own until the test's runtime ends.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    state: Arc<Mutex<State>>,
    dir: PathBuf,
    stop: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a fence smaller than the largest is refused; not, to see that it is missed.
    checks: bool,
    order: u64,
    largest: BTreeMap<String, u64>,
    uses: Vec<Use>,
    disturbances: Vec<Disturbance>,
    /// Which task of which process was last accepted when.
    served: BTreeMap<(u32, u32), u64>,
    reports: BTreeMap<u32, Counts>,
}

impl Resource {
    pub(super) fn start(checks: bool) -> Self {
        let dir = scratch_dir();
        let listener = UnixListener::bind(dir.join("resource")).expect("a socket");
        let resource = Self {
            state: Arc::new(Mutex::new(State {
                checks,
                ..State::default()
            })),
            dir,
            stop: watch::Sender::new(false),
        };
        let this = resource.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(this.clone().serve(stream));
            }
        });
        resource
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("resource")
    }

    /// Takes the socket away.
    pub(super) fn clean_up(&self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }

    /// Tells every process of the moment to come to its end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn disturbed(&self, whom: Whom, from_us: u64) {
        let disturbance = Disturbance {
            from_us,
            to_us: now_us(),
            whom,
        };
        self.state().disturbances.push(disturbance);
    }

    /// The processes that use a key just now.
    pub(super) fn users(&self) -> BTreeSet<u32> {
        let state = self.state();
        let open = state.uses.iter().rev().take(256);
        open.filter(|each| each.accepted && each.end == End::Open)
            .map(|each| each.process)
            .collect()
    }

    /// The tasks of these processes that have got nothing since.
    pub(super) fn unserved(&self, processes: &[u32], tasks: u32, since_us: u64) -> Vec<(u32, u32)> {
        let state = self.state();
        let all = processes
            .iter()
            .flat_map(|process| (0..tasks).map(|task| (*process, task)));
        all.filter(|who| state.served.get(who).is_none_or(|at| *at < since_us))
            .collect()
    }

    pub(super) fn count(&self) -> usize {
        self.state().uses.len()
    }

    /// What this process said at its end.
    pub(super) fn report(&self, process: u32) -> Option<Counts> {
        self.state().reports.get(&process).cloned()
    }

    pub(super) fn history(&self) -> (Vec<Use>, Vec<Disturbance>) {
        let state = self.state();
        (state.uses.clone(), state.disturbances.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    async fn serve(self, stream: UnixStream) {
        let (from, mut to) = stream.into_split();
        let mut lines = BufReader::new(from).lines();
        let Ok(Some(line)) = lines.next_line().await else {
            return;
        };
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["hello", process] => {
                let process = number(process);
                self.attend(process.try_into().expect("a process"), lines, to)
                    .await;
            }
            [
                "begin",
                process,
                task,
                key,
                fence,
                asked,
                in_line,
                granted,
                checked,
            ] => {
                let begun = Use {
                    process: number(process).try_into().expect("a process"),
                    task: number(task).try_into().expect("a task"),
                    key: key.to_owned(),
                    fence: number(fence),
                    asked_us: number(asked),
                    in_line_us: number(in_line),
                    granted_us: number(granted),
                    checked_us: number(checked),
                    begun: 0,
                    accepted: false,
                    writes: Vec::new(),
                    end: End::Open,
                };
                let at = self.begin(begun);
                let accepted = self.state().uses[at].accepted;
                let mut open = say(&mut to, accepted).await;
                while open && let Ok(Some(line)) = lines.next_line().await {
                    let answer = self.step(at, &line);
                    open = say(&mut to, answer).await;
                }
                let mut state = self.state();
                let now = state.next();
                if state.uses[at].end == End::Open {
                    state.uses[at].end = End::Gone(now);
                }
            }
            _ => panic!("not in the protocol: {line}"),
        }
    }

    fn begin(&self, mut begun: Use) -> usize {
        let mut state = self.state();
        begun.begun = state.next();
        let largest = state.largest.get(&begun.key).copied().unwrap_or(0);
        begun.accepted = begun.fence > largest || !state.checks;
        if begun.accepted {
            state
                .largest
                .insert(begun.key.clone(), begun.fence.max(largest));
            state.served.insert((begun.process, begun.task), now_us());
        }
        state.uses.push(begun);
        state.uses.len() - 1
    }

    fn step(&self, at: usize, line: &str) -> bool {
        let mut state = self.state();
        let now = state.next();
        let (largest, checks) = (state.largest[&state.uses[at].key], state.checks);
        let each = &mut state.uses[at];
        let accepted = each.accepted && (each.fence >= largest || !checks);
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["write", checked] => {
                each.checked_us = number(checked);
                each.writes.push((now, accepted));
            }
            ["end", checked, "kept"] => {
                each.checked_us = number(checked);
                each.end = End::Kept(now);
            }
            ["end", checked, "lost"] => {
                each.checked_us = number(checked);
                each.end = End::Lost(now);
            }
            _ => panic!("not in the protocol: {line}"),
        }
        accepted
    }

    /// Listens to a process until it hangs up.
    async fn attend(
        self,
        process: u32,
        mut lines: Lines<BufReader<OwnedReadHalf>>,
        mut to: OwnedWriteHalf,
    ) {
        let mut stop = self.stop.subscribe();
        tokio::spawn(async move {
            // An error means that the process is gone.
            if stop.wait_for(|stop| *stop).await.is_ok() {
                let _ = to.write_all(b"stop\n").await;
                std::future::pending::<()>().await;
            }
        });
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(from_us) = line.strip_prefix("stalled ") {
                self.disturbed(Whom::Process(process), number(from_us));
            } else if let Some(report) = line.strip_prefix("over ") {
                let report = serde_json::from_str(report).expect("counts");
                self.state().reports.insert(process, report);
            }
        }
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}

async fn say(to: &mut OwnedWriteHalf, accepted: bool) -> bool {
    let answer: &[u8] = if accepted { b"ok\n" } else { b"refused\n" };
    to.write_all(answer).await.is_ok()
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("no number: {word}"))
}
