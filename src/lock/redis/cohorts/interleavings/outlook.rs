//! What tells one state from another.
//!
//! Floor 4.

use std::time::Duration;

use tokio::time::Instant;

use super::backend::{Answer, Command};
use super::{Driver, Stage, World};

impl World {
    /// All that decides what comes next; times are relative, and fences only ever grow.
    pub(super) fn outlook(&self) -> String {
        let now = Instant::now();
        let left = |until: Instant| until.saturating_duration_since(now);
        let stages = self.stages.iter().map(|stage| match stage {
            Stage::Holding(lease) => format!("holds {:?}", left(lease.deadline())),
            Stage::Waiting(_) => "waits".to_owned(),
            stage => format!("{stage:?}"),
        });
        let commands = self.commands.iter().map(|command| match command {
            Command::Ask(by, token, line, sent) => {
                format!("ask {by:?} {token} {line} {:?}", ago(now, *sent))
            }
            Command::Release(by, token, again, sent) => {
                format!("release {by:?} {token} {again:?} {:?}", ago(now, *sent))
            }
        });
        let answers = self.answers.iter().chain(&self.mail);
        let answers = answers.map(|answer| match answer {
            Answer::Granted(by, token, lease, others) => {
                format!("{by:?} {token} {:?} {others}", left(lease.deadline()))
            }
            Answer::GrantedAgain(by, token, again, lease) => {
                format!("{by:?} {token} {again} {:?}", left(lease.deadline()))
            }
            Answer::Message(token, lease, others) => {
                format!("mail {token} {:?} {others}", left(lease.deadline()))
            }
            Answer::Lost(Command::Ask(by, token, ..)) => format!("lost {by:?} {token}"),
            Answer::Lost(Command::Release(by, token, again, _)) => {
                format!("lost {by:?} {token} {again:?}")
            }
            Answer::Busy(..) | Answer::NotHeld(..) => format!("{answer:?}"),
        });
        let lists = [
            stages.collect::<Vec<_>>(),
            commands.collect(),
            answers.collect(),
        ];
        let driver = match self.driver {
            Some(Driver::Resting(Some(until))) => format!("rests {:?}", left(until)),
            driver => format!("{driver:?}"),
        };
        let holder = self.redis.holder.map(|(token, until)| (token, left(until)));
        let redis = (holder, &self.redis.line);
        let state = self.cohorts.lock();
        let entry = state.by_key.get(&self.key);
        let cohort = entry.map(|entry| entry.cohort.outlook(now));
        let told = (
            driver,
            (self.news, self.replaced, self.in_line),
            (self.asked, self.mail.len(), &self.order),
        );
        let bounds = (self.rivals, self.ticks, self.cancels, self.cuts);
        format!("{lists:?} {told:?} {redis:?} {cohort:?} {bounds:?}")
    }
}

fn ago(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}
