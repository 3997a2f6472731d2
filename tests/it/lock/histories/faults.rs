//! What befalls the processes of a history, their connections and their Redis.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::clock::now_us;
use super::judge::Whom;
use super::processes::Process;
use super::resource::Resource;
use super::worker::Errand;
use crate::support::bad_line::BadLine;
use crate::support::random::Random;
use crate::support::redis_server::{RedisServer, free_port, scratch_dir};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGKILL; another process takes its place.
    Kill,
    StopHolder,
    StopWaiter,
    /// `CLIENT PAUSE`.
    Pause,
    /// `DEBUG SLEEP`.
    Sleep,
    KillConnections,
    KillSubscriptions,
    ForgetScripts,
    Cut,
    SwallowAnswers,
    DelayRequests,
    RestartRedis,
    /// And it comes back empty.
    LoseData,
}

impl Fault {
    pub(super) const ALL: [Self; 13] = [
        Self::Kill,
        Self::StopHolder,
        Self::StopWaiter,
        Self::Pause,
        Self::Sleep,
        Self::KillConnections,
        Self::KillSubscriptions,
        Self::ForgetScripts,
        Self::Cut,
        Self::SwallowAnswers,
        Self::DelayRequests,
        Self::RestartRedis,
        Self::LoseData,
    ];
}

/// The processes, each behind a connection of its own to one Redis.
pub(super) struct Stage {
    pub(super) processes: Vec<Process>,
    errand: Errand,
    lines: Vec<BadLine>,
    redis: Option<RedisServer>,
    appendfsync: &'static str,
    port: u16,
    data: PathBuf,
    resource: Resource,
    random: Random,
    /// What goes on: until when, since when, for whom.
    going_on: Vec<(Instant, u64, Trouble)>,
}

#[derive(Debug)]
enum Trouble {
    /// This one stands still.
    Stopped {
        slot: usize,
        process: u32,
    },
    Line(usize),
    /// Redis stands still; it hears of it on a connection that has to stay open so long.
    Redis {
        _told: TcpStream,
    },
}

impl Stage {
    /// Starts Redis, which remembers whatever it has answered, and the processes, the first of them with
    /// the errand's number.
    pub(super) async fn start(processes: usize, errand: Errand, resource: &Resource) -> Self {
        Self::start_on(processes, errand, resource, "always").await
    }

    /// As [`start`](Self::start), where Redis never ends: none of its answers waits for the disk, which
    /// others use too.
    pub(super) async fn start_calm(processes: usize, errand: Errand, resource: &Resource) -> Self {
        Self::start_on(processes, errand, resource, "no").await
    }

    async fn start_on(
        processes: usize,
        errand: Errand,
        resource: &Resource,
        appendfsync: &'static str,
    ) -> Self {
        let (port, data) = (free_port(), scratch_dir());
        let mut stage = Self {
            processes: Vec::new(),
            random: Random::new(errand.seed),
            errand,
            lines: Vec::new(),
            redis: None,
            appendfsync,
            port,
            data,
            resource: resource.clone(),
            going_on: Vec::new(),
        };
        stage.start_redis();
        for slot in 0..processes {
            stage.lines.push(BadLine::start(port).await);
            let process = stage.next_process(slot);
            stage.processes.push(process);
        }
        stage
    }

    fn start_redis(&mut self) {
        let redis = RedisServer::start_durable(self.port, &self.data, self.appendfsync);
        self.redis = Some(redis);
    }

    fn next_process(&mut self, slot: usize) -> Process {
        let errand = Errand {
            redis: self.lines[slot].url(),
            ..self.errand.clone()
        };
        self.errand.process += 1;
        self.errand.seed = self.random.next();
        Process::start(&errand)
    }

    pub(super) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("it is up between faults")
    }

    /// Brings these faults about, one after the other, some of them while others go on.
    pub(super) async fn suffer(&mut self, faults: &[Fault]) {
        for fault in faults {
            self.begin(*fault).await;
            let pause = self.random.ms(10..500);
            self.rest(pause).await;
        }
        while let Some(end) = self.going_on.iter().map(|(end, ..)| *end).max() {
            self.rest(end.saturating_duration_since(Instant::now()))
                .await;
        }
    }

    /// Sleeps, and ends in between what is over.
    async fn rest(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let now = Instant::now();
            let over: Vec<_> = self
                .going_on
                .extract_if(.., |(end, ..)| *end <= now)
                .collect();
            for (_, since, trouble) in over {
                self.end(since, &trouble);
            }
            let next = self.going_on.iter().map(|(end, ..)| *end).min();
            let next = next.map_or(until, |next| next.min(until));
            if now >= until {
                return;
            }
            sleep(next.saturating_duration_since(now)).await;
        }
    }

    fn goes_on(&mut self, lasts: Duration, trouble: Trouble) {
        self.going_on
            .push((Instant::now() + lasts, now_us(), trouble));
    }

    async fn begin(&mut self, fault: Fault) {
        let slot = self.random.index(self.processes.len());
        // Around the lease: shorter, as long, and much longer.
        let lasts = self.random.ms(0..3_000);
        let since = now_us();
        match fault {
            Fault::Kill => {
                let process = self.next_process(slot);
                let killed = std::mem::replace(&mut self.processes[slot], process);
                let number = killed.number;
                drop(killed);
                self.resource.disturbed(Whom::Process(number), since);
            }
            Fault::StopHolder => self.stop(true, lasts),
            Fault::StopWaiter => self.stop(false, lasts),
            Fault::Pause => {
                let told = self.tell(&format!("CLIENT PAUSE {}", lasts.as_millis() / 2));
                self.goes_on(lasts / 2, Trouble::Redis { _told: told });
            }
            Fault::Sleep => {
                let told = self.tell(&format!("DEBUG SLEEP {}", lasts.as_secs_f64() / 2.0));
                self.goes_on(lasts / 2, Trouble::Redis { _told: told });
            }
            Fault::KillConnections => self.tell_once("CLIENT KILL TYPE normal"),
            Fault::KillSubscriptions => self.tell_once("CLIENT KILL TYPE pubsub"),
            Fault::ForgetScripts => self.tell_once("SCRIPT FLUSH"),
            Fault::Cut => {
                self.lines[slot].cut();
                self.end(since, &Trouble::Line(slot));
            }
            Fault::SwallowAnswers => {
                self.lines[slot].swallow(true);
                self.goes_on(lasts / 3, Trouble::Line(slot));
            }
            Fault::DelayRequests => {
                self.lines[slot].delay(lasts);
                // Some of it arrives after the connection that brought it.
                self.goes_on(lasts / 2, Trouble::Line(slot));
            }
            Fault::RestartRedis | Fault::LoseData => {
                self.redis = None;
                if fault == Fault::LoseData {
                    std::fs::remove_dir_all(&self.data).expect("its data");
                    std::fs::create_dir_all(&self.data).expect("the folder is ours");
                }
                sleep(lasts / 3).await;
                self.start_redis();
                let whom = if fault == Fault::LoseData {
                    Whom::Data
                } else {
                    Whom::Everybody
                };
                self.resource.disturbed(whom, since);
            }
        }
    }

    fn stop(&mut self, holder: bool, lasts: Duration) {
        let users = self.resource.users();
        let first = self.random.index(self.processes.len());
        let slots = (0..self.processes.len()).map(|at| (first + at) % self.processes.len());
        let mut fitting =
            slots.filter(|slot| users.contains(&self.processes[*slot].number) == holder);
        let slot = fitting.next().unwrap_or(first);
        self.processes[slot].signal("STOP");
        let process = self.processes[slot].number;
        self.goes_on(lasts, Trouble::Stopped { slot, process });
    }

    fn end(&mut self, since: u64, trouble: &Trouble) {
        let whom = match *trouble {
            Trouble::Stopped { slot, process } => {
                // Unless it was killed, and another one has its place.
                if self.processes[slot].number == process {
                    self.processes[slot].signal("CONT");
                }
                Whom::Process(process)
            }
            Trouble::Line(slot) => {
                self.lines[slot].swallow(false);
                self.lines[slot].delay(Duration::ZERO);
                self.lines[slot].cut();
                Whom::Process(self.processes[slot].number)
            }
            Trouble::Redis { .. } => Whom::Everybody,
        };
        self.resource.disturbed(whom, since);
    }

    /// Sends Redis a command without waiting for it: it may be about to stand still.
    fn tell(&self, command: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis is up");
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .expect("sent");
        stream
    }

    fn tell_once(&mut self, command: &str) {
        let told = self.tell(command);
        self.goes_on(Duration::from_millis(50), Trouble::Redis { _told: told });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.processes.clear();
        self.redis = None;
        let _ = std::fs::remove_dir_all(&self.data);
        self.resource.clean_up();
    }
}
