//! What can happen next.
//!
//! Floor 4.

use std::time::Duration;

use tokio::time::Instant;

use super::backend::{Answer, RIVAL};
use super::driver::Driver;
use super::{Stage, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Arrive {
        wait: bool,
    },
    /// Redis carries out the oldest command.
    Redis,
    /// The oldest answer or message comes in.
    Answer,
    /// The oldest message comes in, ahead of older answers.
    Overtake,
    /// Whoever asks for the line has news, or its time has come.
    Driver,
    /// A client goes away while it waits.
    Cancel(usize),
    LetGo(usize),
    RivalAsks,
    RivalLetsGo,
    Time(Duration),
    /// The connection is replaced. What was under way has reached Redis or has not; answers and
    /// messages have got lost.
    Cut {
        reached: bool,
    },
}

impl World {
    pub(super) fn events(&self) -> Vec<Event> {
        let mut events = self.necessary();
        if self.stages.iter().any(|stage| matches!(stage, Stage::New)) {
            events.extend([true, false].map(|wait| Event::Arrive { wait }));
        }
        events.extend(self.holders().map(Event::LetGo));
        if self.cancels > 0 {
            let waits = |stage: &Stage| matches!(stage, Stage::Asking { .. } | Stage::Waiting(_));
            let waiting = self.stages.iter().enumerate();
            let waiting = waiting.filter(|(_, stage)| waits(stage));
            events.extend(waiting.map(|(at, _)| Event::Cancel(at)));
        }
        if self.answers.iter().skip(1).any(Answer::is_published) {
            events.push(Event::Overtake);
        }
        if self.rivals > 0 && !self.redis.rival_holds() && !self.redis.line.contains(&RIVAL) {
            events.push(Event::RivalAsks);
        }
        let listens = matches!(self.driver, Some(Driver::Listening(_)));
        if self.cuts > 0 && (listens || !self.commands.is_empty() || !self.answers.is_empty()) {
            events.extend([true, false].map(|reached| Event::Cut { reached }));
        }
        if self.ticks > 0 {
            // Past what others leave to this process; past what a next one needs; past a lease.
            events.extend([60, 600, 1_100].map(|ms| Event::Time(Duration::from_millis(ms))));
        }
        events
    }

    /// What happens by itself, sooner or later.
    pub(super) fn necessary(&self) -> Vec<Event> {
        let idle = self.commands.is_empty() && self.answers.is_empty();
        // A lease that ended without anybody letting go is found by a look at the lock.
        let unheard = idle && self.redis.holder.is_some() && self.redis.is_free();
        let told = self.stand.as_ref().and_then(|it| it.waiting.told());
        let due = self.driver.is_some_and(|driver| match driver {
            Driver::Spawned | Driver::Pausing(_) => true,
            Driver::Resting(until) => {
                self.news || until.is_some_and(|until| until <= Instant::now())
            }
            Driver::Listening(_) => self.news || self.replaced || told.is_some() || unheard,
            Driver::Asking(_) => false,
        });
        let events = [
            (!self.commands.is_empty(), Event::Redis),
            (!self.answers.is_empty(), Event::Answer),
            (due, Event::Driver),
            (self.redis.rival_holds(), Event::RivalLetsGo),
        ];
        let now = events.into_iter().filter(|(now, _)| *now);
        now.map(|(_, event)| event).collect()
    }
}
