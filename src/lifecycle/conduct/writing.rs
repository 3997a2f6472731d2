//! What goes out to the peer, or does not.
//!
//! Floor 4.

use std::io;
use std::task::{Context, Poll};

use crate::lifecycle::asks::Asks;
use crate::lifecycle::conduct::{Conduct, Said, cut_off};
use crate::lifecycle::connections::Half;
use crate::lifecycle::frames::begins_with_settings;
use crate::lifecycle::linger::Linger;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::talk::Talk;
use crate::lifecycle::unfinished::Stage;

impl Conduct {
    /// Bytes are about to go out.
    pub(crate) fn writes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_not_cut()?;
        let before = self.talk;
        let first = self.said == Said::Nothing && !bytes.is_empty();
        if first && !begins_with_settings(bytes) {
            self.said = Said::Second;
        }
        self.talk.write(bytes, self.asks);
        if self.talk == before {
            return Ok(());
        }
        if self.talk == Talk::Upgraded {
            // Before the peer can know.
            self.enter(Stage::Upgraded);
        }
        let ends = || self.connections.watch.current() >= Phase::Settling;
        self.last_word = self.asks == Asks::Upload && ends();
        Ok(())
    }

    pub(crate) fn wrote(
        &mut self,
        cx: &Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.is_stuck(false);
            self.fresh.wrote(self.talk);
            self.leave_intake();
            return written;
        }
        self.waits_for_room(cx)?;
        Poll::Pending
    }

    /// The socket takes nothing, or has not sent what it took.
    pub(crate) fn waits_for_room(&mut self, cx: &Context<'_>) -> io::Result<()> {
        self.is_stuck(true);
        match (&self.stage, self.talk) {
            (Some(_), Talk::Upgraded | Talk::Http2) => {}
            (Some(_), _) if !self.head => {}
            // Or it was answered before its head was whole, or flushed.
            _ => self.enter(Stage::Unsent),
        }
        self.waits_to_write(cx)
    }

    pub(crate) fn waits_to_write(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let (place, waker) = (&mut self.wakers, cx.waker().clone());
        self.connections.wake_at_cut(place, Half::Write, waker);
        // Where nothing goes out to the peer, the server may never read again.
        let given_up = self.talk == Talk::Http2 && self.may_be_given_up();
        if given_up && self.connections.are_given_up() {
            return Err(cut_off());
        }
        self.is_not_cut()
    }

    /// All is written, and the service has been called for what was read whole.
    pub(crate) fn flushes(&mut self) {
        self.talk.flush();
        self.fresh.flushes(self.talk);
        self.leave_intake();
    }

    fn is_stuck(&self, stuck: bool) {
        let is_news = self.talk == Talk::Http2 && self.http2.is_stuck(stuck);
        // Its peer is there, though the `PING` it would answer is still behind all that.
        if is_news && !stuck && self.is_told() {
            self.http2.is_heard();
        }
    }

    /// What was written is out.
    pub(crate) fn flushed(&mut self) {
        self.is_stuck(false);
        match (self.talk, self.half()) {
            (Talk::Http2 | Talk::Upgraded | Talk::Whole, _) => {}
            (_, None) => (self.stage, self.head) = (None, false),
            // Its beginning was read while the answer in front of it was on its way.
            (_, Some(half)) if self.stage.is_some() && !self.head => self.enter(half),
            _ => {}
        }
    }

    /// The answer is out, so the drain waits for nothing here; only the server does.
    pub(crate) fn only_lingers(&mut self) {
        (self.stage, self.head) = (None, false);
    }

    /// What is left to do after the last word. Not for bytes that are somebody else's, and not
    /// where another task reads: what comes is dropped, and who waits for it would never wake.
    pub(crate) fn linger(&self, cx: &Context<'_>) -> Option<Box<Linger>> {
        let last = *self.connections.linger_until.get()?;
        let reader = self.reader.as_ref();
        let reads = reader.is_none_or(|reader| reader.will_wake(cx.waker()));
        let lingers = match self.talk {
            Talk::Idle => self.last_word,
            // A window that the peer opens for what is on its way is unread when that has gone out.
            Talk::Http2 => self.http2.frames().has_asked(),
            _ => false,
        } && reads;
        lingers.then(|| Box::new(Linger::new(last)))
    }
}
