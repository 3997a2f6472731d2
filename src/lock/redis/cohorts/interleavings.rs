//! Every order of what can happen to one key's line in a process: its claims come and go, somebody
//! asks on their behalf, Redis carries out and answers, a rival process holds the key in between.
//!
//! A line is a state machine behind one lock, so the orders of memory that loom explores are one
//! order here; what can go wrong is the order of events, Redis's among them. So those are gone
//! through, each state once. From each the rest must follow without a timer that nothing but a lost
//! message justifies: a wake-up that is missing is found, not waited out.
//!
//! Floor 4.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Cohorts;
use crate::lock::cohort::words::Turn;
use crate::lock::lease::Lease;
use crate::lock::lock_key::LockKey;
use crate::lock::redis::waiters::{Waiters, Waiting};
use backend::{Answer, By, Command, RIVAL, Redis};
use driver::{Driver, Stand};
use events::Event;

mod backend;
mod driver;
mod events;
mod line;
mod look;
mod outlook;

#[derive(Debug)]
enum Stage {
    New,
    /// With an ear, where it gets in line itself.
    Asking {
        wait: bool,
        ear: Option<Waiting>,
    },
    Waiting(oneshot::Receiver<Turn>),
    Holding(Lease),
    Over,
}

#[derive(Debug)]
struct World {
    cohorts: Cohorts,
    waiters: Waiters,
    key: LockKey,
    stages: [Stage; 3],
    /// Who waits, in the order of their coming.
    order: Vec<usize>,
    commands: VecDeque<Command>,
    answers: VecDeque<Answer>,
    driver: Option<Driver>,
    news: bool,
    /// Whether the connection was replaced since whoever asks for the line looked.
    replaced: bool,
    stand: Option<Stand>,
    /// Since when messages come over the connection of the moment.
    since: Instant,
    redis: Redis,
    last_fence: u64,
    /// How often what need not happen may.
    rivals: u8,
    ticks: u8,
    cancels: u8,
    cuts: u8,
}

impl World {
    fn new() -> Self {
        Self {
            cohorts: Cohorts::default(),
            waiters: Waiters::default(),
            key: LockKey::new("a").unwrap(),
            stages: [Stage::New, Stage::New, Stage::New],
            order: Vec::new(),
            commands: VecDeque::new(),
            answers: VecDeque::new(),
            driver: None,
            news: false,
            replaced: false,
            stand: None,
            since: Instant::now(),
            redis: Redis::start(),
            last_fence: 0,
            rivals: 2,
            ticks: 2,
            cancels: 2,
            cuts: 1,
        }
    }

    fn holders(&self) -> impl Iterator<Item = usize> {
        let holds = |at: &usize| matches!(self.stages[*at], Stage::Holding(_));
        (0..self.stages.len()).filter(holds)
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { wait } => self.arrive(wait),
            Event::Redis => {
                let command = self.commands.pop_front().unwrap();
                self.redis.carry_out(command, &mut self.answers);
            }
            Event::Cut { reached } => {
                self.cut(reached);
                // Whatever was asked before, was so before.
                tokio::time::advance(Duration::from_micros(1)).await;
                self.since = Instant::now();
            }
            Event::Answer => self.answer(),
            Event::Overtake => self.overtake(),
            Event::Driver => self.drive(),
            Event::Cancel(at) => {
                self.cancels -= 1;
                self.leave(at);
            }
            Event::LetGo(at) => self.leave(at),
            Event::RivalAsks => {
                self.rivals -= 1;
                self.rival(Command::Ask(By::Driver, RIVAL, true, Instant::now()));
            }
            Event::RivalLetsGo => {
                self.rival(Command::Release(By::Driver, RIVAL, None, Instant::now()));
            }
            Event::Time(passes) => {
                self.ticks = self.ticks.saturating_sub(1);
                tokio::time::advance(passes).await;
            }
        }
        self.look();
    }

    /// The rival's answers are its own affair; a message is not.
    fn rival(&mut self, command: Command) {
        let mut answers = VecDeque::new();
        self.redis.carry_out(command, &mut answers);
        let messages = answers.into_iter().filter(Answer::is_published);
        self.answers.extend(messages);
    }

    /// Lets everything come to its end. Where `hang`, those who hold the key now let go last.
    async fn end(&mut self, hang: bool) {
        let last: Vec<_> = self.holders().filter(|_| hang).collect();
        let mut pauses = 0;
        for _ in 0..200 {
            let lets_go = self.holders().find(|at| !last.contains(at));
            let next = self.necessary().first().copied();
            if let Some(event) = next.or(lets_go.map(Event::LetGo)) {
                self.happen(event).await;
            } else if self.order.is_empty() && self.driver.is_none() {
                break;
            } else {
                pauses += 1;
                assert!(pauses < 6, "somebody waits for ever");
                self.happen(Event::Time(Duration::from_millis(1_100))).await;
            }
        }
        for at in last {
            self.happen(Event::LetGo(at)).await;
        }
        for _ in 0..200 {
            if let Some(event) = self.necessary().first() {
                self.happen(*event).await;
            }
        }
        let here = self.cohorts.lock().by_key.len();
        let left = (here, self.redis.is_free(), self.redis.line.len());
        assert_eq!(left, (0, true, 0), "something is left: {self:?}");
    }
}

/// How many events a history has before it is left to come to its end.
fn depth() -> usize {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 9,
        None => 7,
    }
}

async fn replay(path: &[Event]) -> World {
    let mut world = World::new();
    for event in path {
        world.happen(*event).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn in_every_order_one_holds_at_a_time_and_nobody_waits_for_a_timer() {
    let mut seen = HashSet::new();
    let mut paths = VecDeque::from([Vec::new()]);
    while let Some(path) = paths.pop_front() {
        for event in replay(&path).await.events() {
            let next = [&path[..], &[event]].concat();
            let mut told = Told(Some(&next));
            let mut world = replay(&next).await;
            if seen.insert(world.outlook()) {
                if world.holders().next().is_some() {
                    replay(&next).await.end(true).await;
                }
                world.end(false).await;
                if next.len() < depth() {
                    paths.push_back(next.clone());
                }
            }
            told.0 = None;
        }
    }
    println!("{} states", seen.len());
    assert!(seen.len() > 1_000, "{} are not all", seen.len());
}

/// Says which events led to a panic.
struct Told<'a>(Option<&'a [Event]>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            eprintln!("after {path:?}");
        }
    }
}
