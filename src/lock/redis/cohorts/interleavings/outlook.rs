//! What tells one state from another.
//!
//! Floor 4.

use std::time::Duration;

use tokio::time::Instant;

use super::backend::{Answer, Command, token};
use super::driver::Driver;
use super::{Stage, World};
use crate::lock::redis::grant::Grant;
use crate::lock::redis::reply::Ran;
use crate::lock::redis::waiters::Waiting;

impl World {
    /// All that decides what comes next; times are relative, and fences only ever grow.
    pub(super) fn outlook(&self) -> String {
        let now = Instant::now();
        let left = |until: Instant| until.saturating_duration_since(now).as_millis();
        let told = |ear: &Waiting| {
            let heard = ear.told();
            heard.map(|it| (self.mail(&it.grant), it.since == Some(self.since)))
        };
        let stages = self.stages.iter().map(|stage| match stage {
            Stage::Holding(lease) => format!("holds {:?}", left(lease.deadline())),
            Stage::Waiting(_) => "waits".to_owned(),
            Stage::Asking { wait, ear } => format!("asks {wait} {:?}", ear.as_ref().map(told)),
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
        let ran = |ran: &Ran| ran.sent >= self.since;
        let answers = self.answers.iter().map(|answer| match answer {
            Answer::Granted(by, token, lease, others) => {
                format!("{by:?} {token} {:?} {others}", left(lease.deadline()))
            }
            Answer::GrantedAgain(by, token, again, lease) => {
                format!("{by:?} {token} {again} {:?}", left(lease.deadline()))
            }
            Answer::InLineAgain(by, token, again, at) => {
                format!("{by:?} {token} {again} {}", ran(at))
            }
            Answer::Message(grant) => format!("mail {}", self.mail(grant)),
            Answer::Lost(Command::Ask(by, token, ..)) => format!("lost {by:?} {token}"),
            Answer::Lost(Command::Release(by, token, again, _)) => {
                format!("lost {by:?} {token} {again:?}")
            }
            Answer::Busy(by, token, at) => format!("busy {by:?} {token} {}", ran(at)),
            Answer::Wanted(_) | Answer::NotHeld(..) => format!("{answer:?}"),
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
        let redis = (holder, &self.redis.line, self.redis.wanted);
        let state = self.cohorts.lock();
        let entry = state.by_key.get(&self.key);
        let cohort = entry.map(|entry| {
            let ear = entry.waiting.as_deref();
            let ear = ear.map(|(owner, ear)| (token(*owner), told(ear)));
            (entry.cohort.outlook(now), entry.ran.as_ref().map(ran), ear)
        });
        let stand = self.stand.as_ref();
        let stand = stand.map(|it| (it.token, told(&it.waiting), it.in_line, it.asked));
        let told = (driver, (self.news, self.replaced), stand, &self.order);
        let bounds = (self.rivals, self.ticks, self.cancels, self.cuts);
        format!("{lists:?} {told:?} {redis:?} {cohort:?} {bounds:?}")
    }

    fn mail(&self, grant: &Grant) -> String {
        let left = self.redis.left(grant.deadline_ms);
        format!("{} {left} {}", token(grant.owner), grant.others)
    }
}

fn ago(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}
