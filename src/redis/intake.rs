//! The supervisor's end of the queue: gathers what is to be sent, and refuses what cannot be.
//!
//! Floor 3.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use redis::{Arg, Cmd};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::error::{RedisError, RedisErrorKind};
use super::queue::{Item, Queued};
use super::refusals::Refusals;

/// The most commands that are made ready at a time, so that replies are not left waiting.
const GATHERED: usize = 512;

/// What the handles have asked for.
pub(crate) struct Intake {
    queue: mpsc::Receiver<Item>,
    /// Just taken from the queue; kept between calls for its memory.
    items: Vec<Item>,
    /// Whether more than one was taken the last time.
    crowd: bool,
    /// In order, to be sent next.
    pub(crate) ready: VecDeque<Queued>,
    /// Somebody has asked for the inbox since it was last subscribed.
    pub(crate) subscribe: bool,
    /// Somebody has ever asked for the inbox: every new connection subscribes.
    pub(crate) inbox_wanted: bool,
    /// What runs scripts and the server of the moment does not know.
    pub(crate) unknown: Vec<&'static str>,
    /// The connection that somebody has found to lead to the wrong server.
    pub(crate) wrong: Option<u64>,
    /// Nothing more is to be expected: end when all that is left is answered.
    pub(crate) closing: bool,
    /// Every handle is gone: the queue gives nothing any more.
    abandoned: bool,
}

impl Intake {
    pub(crate) fn new(queue: mpsc::Receiver<Item>) -> Self {
        Self {
            queue,
            items: Vec::new(),
            crowd: false,
            ready: VecDeque::new(),
            subscribe: false,
            inbox_wanted: false,
            unknown: Vec::new(),
            wrong: None,
            closing: false,
            abandoned: false,
        }
    }

    /// Whether anything can still come.
    pub(crate) fn is_open(&self) -> bool {
        !self.abandoned
    }

    /// Whether everything that was asked for is sent.
    pub(crate) fn is_drained(&self) -> bool {
        self.ready.is_empty() && self.queue.is_empty()
    }

    /// Waits until something is queued. Dropping the future loses nothing.
    pub(crate) async fn some(&mut self) {
        if self.queue.recv_many(&mut self.items, GATHERED).await == 0 {
            self.abandoned = true;
            self.closing = true;
        }
    }

    /// Makes ready what is queued, after every task that can run has had its turn to add to it.
    ///
    /// Without that turn the first command would leave alone: it wakes this task before the
    /// tasks that were about to send theirs.
    ///
    /// A lone caller has nobody to wait for: with nothing on its way (`idle`), and nothing gathered
    /// the last time, the command leaves at once.
    pub(crate) async fn gather(&mut self, idle: bool, full: &Notify) {
        if self.crowd || !idle {
            tokio::select! {
                biased;
                () = full.notified() => {}
                () = tokio::task::yield_now() => {}
            }
        }
        while self.items.len() < GATHERED
            && let Ok(item) = self.queue.try_recv()
        {
            self.items.push(item);
        }
        self.crowd = self.items.len() > 1;
        self.unpack();
    }

    /// Makes ready what [`some`](Self::some) found, without waiting for more.
    pub(crate) fn unpack(&mut self) {
        for item in self.items.drain(..) {
            match item {
                Item::Command(queued) => self.ready.push_back(queued),
                // Side by side, and so they stay: what is ready leaves in this order.
                #[cfg(feature = "cluster")]
                Item::Asking(queued) => {
                    self.ready.push_back(Queued::asking(queued.caller.since));
                    self.ready.push_back(queued);
                }
                Item::Subscribe => {
                    self.subscribe = true;
                    self.inbox_wanted = true;
                }
                Item::Replace(number) => self.wrong = Some(number),
            }
        }
    }

    /// Takes what is queued already, and nothing else.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.queue.close();
    }

    /// Whether the inbox is to be subscribed now.
    pub(crate) fn take_subscribe(&mut self) -> bool {
        mem::take(&mut self.subscribe)
    }

    /// Answers whose time-out is over before the command was sent: sent, it would be carried out for
    /// nobody, and make those behind it late as well.
    pub(crate) fn refuse_late(&mut self, timeout: Duration) {
        let now = Instant::now();
        let is_late = |queued: &Queued| queued.is_late(now, timeout);
        if !self.ready.iter().any(is_late) {
            return;
        }
        for queued in mem::take(&mut self.ready) {
            if is_late(&queued) {
                // Left behind, it would be said in front of another command.
                if self.ready.back().is_some_and(Queued::is_asking) {
                    self.ready.pop_back();
                }
                queued.caller.answer(Err(RedisError::away(
                    "the command waited in this process past its time-out: it was not sent",
                )));
            } else {
                self.ready.push_back(queued);
            }
        }
    }

    /// When the first of those who are ready and wait is too late.
    pub(crate) fn first_is_late(&self, timeout: Duration) -> Option<Instant> {
        let waiting = self.ready.iter().filter(|queued| queued.is_waited_for());
        waiting.map(|queued| queued.caller.since + timeout).min()
    }

    /// When the first of all that is ready has been there for its time-out: not always the one in front,
    /// for one that another node had before has waited there too.
    pub(crate) fn first_is_due(&self, timeout: Duration) -> Option<Instant> {
        let due = self
            .ready
            .iter()
            .map(|queued| queued.caller.since + timeout);
        due.min()
    }

    /// Answers all whose time-out is over with an error, whether they are waited for or not.
    pub(crate) fn refuse_due(&mut self, timeout: Duration, error: &RedisError) {
        let now = Instant::now();
        for queued in mem::take(&mut self.ready) {
            if queued.caller.since + timeout <= now {
                queued.caller.answer(Err(error.clone()));
            } else {
                self.ready.push_back(queued);
            }
        }
    }

    /// Answers whose command the server does not know.
    pub(crate) fn refuse_unknown(&mut self, refusals: &Refusals) {
        if self.unknown.is_empty() {
            return;
        }
        for queued in mem::take(&mut self.ready) {
            let Queued { command, caller } = &queued;
            let mut unknown = self.unknown.iter();
            // One that another node had before may have an ASKING in front: they leave together.
            let name = unknown.find(|name| is_named(command, name) && !queued.leaves_alone());
            let Some(name) = name else {
                self.ready.push_back(queued);
                continue;
            };
            let text = format!("Redis does not know {name} (rename-command): it was not sent");
            let error = RedisError::new(RedisErrorKind::Refused, text);
            refusals.refused(command, caller.script.text(), &error);
            queued.caller.answer(Err(error));
        }
    }

    /// Answers everything that is ready with an error.
    pub(crate) fn refuse(&mut self, error: &RedisError) {
        for queued in self.ready.drain(..) {
            queued.caller.answer(Err(error.clone()));
        }
    }

    /// Takes nothing more, and answers everything that is left with an error.
    pub(crate) fn finish(&mut self, error: &RedisError) {
        self.queue.close();
        loop {
            match self.queue.try_recv() {
                Ok(item) => self.items.push(item),
                // Another thread has its place in the queue and not yet used it, which takes it a few
                // instructions. What it queues when nobody reads any more would never be answered.
                Err(TryRecvError::Empty) => std::thread::yield_now(),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.unpack();
        self.refuse(error);
    }
}

fn is_named(command: &Cmd, name: &str) -> bool {
    matches!(command.args_iter().next(), Some(Arg::Simple(word)) if word == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::redis::queue::Answer;
    use crate::redis::status::{away, closed};

    const TIME_OUT: Duration = Duration::from_millis(500);

    /// A command that has waited for so long.
    fn waited(ms: u64) -> (Queued, Answer) {
        let since = Instant::now() - Duration::from_millis(ms);
        Queued::new(redis::cmd("PING"), None, since)
    }

    fn of(queued: impl IntoIterator<Item = Queued>) -> Intake {
        let mut intake = Intake::new(mpsc::channel(1).1);
        intake.ready.extend(queued);
        intake
    }

    /// One that another node had before stands behind those that have just come.
    #[tokio::test(start_paused = true)]
    async fn who_is_due_is_answered_wherever_it_stands_and_nobody_else() {
        tokio::time::advance(TIME_OUT).await;
        let (fresh, still) = waited(0);
        let (old, due) = waited(450);
        let mut intake = of([fresh, old]);
        let first = intake.first_is_due(TIME_OUT).expect("two are ready");
        assert_eq!(first - Instant::now(), Duration::from_millis(50));
        tokio::time::advance(Duration::from_millis(50)).await;
        intake.refuse_due(TIME_OUT, &away());
        let error = due.reply().now_or_never().expect("it is answered");
        assert_eq!(error.expect_err("it is due").kind(), RedisErrorKind::Away);
        assert_eq!(intake.ready.len(), 1);
        assert!(still.reply().now_or_never().is_none());
    }

    #[cfg(feature = "cluster")]
    #[tokio::test(start_paused = true)]
    async fn what_another_node_had_before_waits_no_longer_and_takes_its_asking_along() {
        tokio::time::advance(TIME_OUT).await;
        let sent_on = |ms| {
            let (mut queued, answer) = waited(ms);
            queued.caller.sent_on = true;
            ([Queued::asking(queued.caller.since), queued], answer)
        };
        let (late, refused) = sent_on(500);
        let (in_time, waits) = sent_on(450);
        let (posted, _) = sent_on(500);
        let mut intake = of(late.into_iter().chain(in_time).chain(posted));
        intake.refuse_late(TIME_OUT);
        assert!(refused.reply().now_or_never().is_some());
        assert!(waits.reply().now_or_never().is_none());
        let left: Vec<_> = intake.ready.iter().map(Queued::is_asking).collect();
        assert_eq!(
            left,
            [true, false, true, false],
            "nobody waits for the last"
        );
        let next = of(sent_on(450).0.into_iter().chain(sent_on(450).0));
        assert_eq!(next.first_is_late(TIME_OUT), None, "their callers are gone");
        let (queued, _answer) = sent_on(450);
        assert!(of(queued).first_is_late(TIME_OUT).is_some());
    }

    #[test]
    fn who_is_about_to_queue_at_the_end_is_answered_too() {
        for _ in 0..100 {
            let (queue, items) = mpsc::channel(1);
            let room = queue.try_reserve().expect("there is room");
            let supervisor = std::thread::spawn(|| Intake::new(items).finish(&closed()));
            while !queue.is_closed() {
                std::hint::spin_loop();
            }
            let (queued, answer) = Queued::new(redis::cmd("PING"), None, Instant::now());
            room.send(Item::Command(queued));
            supervisor.join().expect("no panic");
            let reply = answer.reply().now_or_never().expect("it is answered");
            let error = reply.expect_err("nobody is left to send it");
            assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
        }
    }
}
