//! What the drain knows of one connection, by the bytes that pass.
//!
//! Floor 4.

mod writing;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::in_flight::tracker::Token;
use crate::lifecycle::asks::Asks;
use crate::lifecycle::connections::{Connections, Half, Socket, Wakers};
use crate::lifecycle::frames::Http2;
use crate::lifecycle::fresh::Fresh;
use crate::lifecycle::phase::Phase;
use crate::lifecycle::talk::Talk;
use crate::lifecycle::unfinished::Stage;

/// What the peer has sent, as far as the talk does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Something,
    /// Nothing before the server did, which did not greet as one of HTTP/2 does: it speaks neither
    /// HTTP nor TLS.
    Second,
    /// On HTTP/2 a first request when draining had begun: all it gets is refused.
    Late,
}

/// The conduct of one connection: told of what is read and written, it enters and leaves the stages
/// that the drain waits for, and says when the connection is over.
pub(crate) struct Conduct {
    peer: Option<SocketAddr>,
    connections: Arc<Connections>,
    talk: Talk,
    fresh: Fresh,
    /// There while the connection is new.
    intake: Option<Token<()>>,
    /// There while the connection is in a stage that has a name.
    stage: Option<Token<Socket>>,
    /// That stage is a head, or a handshake, that is not whole.
    head: bool,
    said: Said,
    /// Set by what is read, and read by `goodbye`.
    http2: Arc<Http2>,
    asks: Asks,
    /// An upload was answered while the instance ends: its rest may still be on the way.
    last_word: bool,
    wakers: Option<Token<Wakers>>,
    /// The reader's waker that stands in `wakers`, so that it goes there once and not each time.
    reader: Option<Waker>,
}

impl Conduct {
    pub(crate) fn new(peer: Option<SocketAddr>, connections: Arc<Connections>) -> Self {
        Self {
            peer,
            talk: Talk::new(),
            fresh: Fresh::Begins,
            intake: Some(connections.intake.enter()),
            stage: None,
            head: false,
            said: Said::Nothing,
            http2: Arc::default(),
            asks: Asks::Answer,
            last_word: false,
            wakers: None,
            reader: None,
            connections,
        }
    }

    fn leave_intake(&mut self) {
        if self.fresh == Fresh::Over {
            self.intake = None;
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.head = matches!(stage, Stage::Head | Stage::Handshake);
        let aside =
            stage == Stage::Http2 && (self.said == Said::Late || !self.http2.frames().has_asked());
        let entered = match aside {
            true => self.connections.enter_aside(self.peer),
            false => self.connections.enter(self.peer, stage),
        };
        // The former one leaves when this one is there.
        self.stage = Some(entered);
    }

    pub(crate) fn has_read(&mut self, bytes: &[u8]) {
        let before = self.talk;
        match self.talk.read(bytes, self.asks) {
            Some(asks) => self.asks = asks,
            None => self.asks.go_on(bytes),
        }
        if before == Talk::new() {
            match (self.said, self.talk) {
                // Behind empty lines a server looks at nothing until a head is whole. TLS begins with
                // none.
                (Said::Something, Talk::Tls | Talk::Opaque) => {
                    self.talk = Talk::Head { blank_line: 0 };
                }
                // Another protocol's words may look like anything.
                (Said::Second, talk) if talk != before && talk != Talk::Http2 => {
                    self.talk = Talk::Opaque;
                }
                _ => {}
            }
        }
        if self.said == Said::Nothing && !bytes.is_empty() {
            self.said = Said::Something;
        }
        self.fresh.read(before, self.talk, bytes);
        if self.talk == Talk::Http2 {
            self.has_read_http2(before, bytes);
        }
    }

    fn has_read_http2(&mut self, before: Talk, bytes: &[u8]) {
        if self.is_told() {
            self.http2.is_heard();
        }
        let (begins, mut frames) = (before != Talk::Http2, self.http2.frames());
        let asked = frames.has_asked();
        if asked && !begins {
            return;
        }
        frames.read(before.behind_preface(bytes));
        if begins {
            // Who took a goodbye holds the other one.
            if Arc::strong_count(&self.http2) > 1 {
                self.fresh = Fresh::Told;
            }
        }
        self.http2.is_spoken_with(frames);
        if begins {
            self.connections.http2_found.notify_waiters();
        }
        let asks = frames.has_asked() != asked;
        if asks && self.connections.watch.current() >= Phase::Draining {
            self.said = Said::Late;
        }
        let was_no_head = self.head && !frames.in_head();
        // In place of a preface that was not whole, or of a greeting that was not sent; of a
        // connection without a request; of a head.
        if begins || asks || was_no_head {
            self.enter(Stage::Http2);
        }
    }

    /// Its server has heard that it ends, or hears it now. Who took a goodbye hears it first.
    fn is_told(&self) -> bool {
        let connections = &self.connections;
        let told = match self.fresh {
            Fresh::Told => &connections.shut,
            _ => &connections.stop,
        };
        connections.watch.current() >= Phase::Settling && told.is_said()
    }

    /// What has begun and is not whole, of which no handler has heard.
    fn half(&self) -> Option<Stage> {
        let (half, stage) = match self.talk {
            Talk::Http2 => (self.http2.frames().in_head(), Stage::Head),
            Talk::Tls => (self.fresh.shakes_hands(), Stage::Handshake),
            talk => (talk.in_head(), Stage::Head),
        };
        half.then_some(stage)
    }

    /// Nothing has been asked here, not wholly, or nothing that was let in.
    fn may_be_given_up(&self) -> bool {
        match self.talk {
            Talk::Http2 => self.said == Said::Late || !self.http2.frames().has_asked(),
            // Nothing, which may be a server's that waits for a handshake or a preface; or empty lines,
            // for which it waits as for the rest of a head. Where another protocol's server spoke
            // first, only that server knows what is under way.
            Talk::New { preface: 0 } => self.said != Said::Second,
            _ => self.head && self.half().is_some(),
        }
    }

    /// There is nothing to read.
    pub(crate) fn waits_for_bytes(&mut self, cx: &Context<'_>) -> io::Result<()> {
        // Elsewhere an answer that is not out is what is waited for.
        let free = self.stage.is_none() || self.talk == Talk::Http2;
        if free
            && !self.head
            && let Some(half) = self.half()
        {
            self.enter(half);
        }
        self.fresh.finds_nothing();
        self.leave_intake();
        let waker = cx.waker();
        if !self.reader.as_ref().is_some_and(|own| own.will_wake(waker)) {
            self.reader = Some(waker.clone());
            let (place, waker) = (&mut self.wakers, waker.clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
        }
        if self.may_be_given_up() && self.connections.are_given_up() {
            return Err(cut_off());
        }
        let silent = self.talk == Talk::Http2 && self.http2.is_silent();
        if silent && self.connections.are_silent_given_up() {
            if self.connections.may_name_silent() {
                tracing::warn!(
                    peer = ?self.peer,
                    "the server was told to stop, and the peer of this connection of HTTP/2 has said \
                     nothing since: it is cut off, and an answer may have been lost"
                );
            }
            return Err(cut_off());
        }
        self.is_not_cut()
    }

    /// There was something to read. A connection may never wait: when all of it was there at once,
    /// and its service reads no body.
    pub(crate) fn is_found_at_cut(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.wakers.is_none() {
            let (place, waker) = (&mut self.wakers, cx.waker().clone());
            self.connections.wake_at_cut(place, Half::Read, waker);
            return self.is_not_cut();
        }
        Ok(())
    }

    pub(crate) fn is_not_cut(&self) -> io::Result<()> {
        if self.connections.are_cut() {
            return Err(cut_off());
        }
        Ok(())
    }

    /// As [`TrackedStream::goodbye`](crate::lifecycle::TrackedStream::goodbye) says.
    pub(crate) fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        let (connections, http2) = (self.connections.clone(), self.http2.clone());
        async move {
            connections.shut.reached().await;
            let mut draining = pin!(connections.watch.reached(Phase::Draining));
            loop {
                // Listens first and looks then: what the queue held may begin only now.
                let mut found = pin!(connections.http2_found.notified());
                found.as_mut().enable();
                if http2.is_spoken() {
                    return;
                }
                tokio::select! {
                    () = found => {}
                    () = draining.as_mut() => break,
                }
            }
            if !http2.is_spoken() {
                connections.stop.reached().await;
            }
        }
    }
}

fn cut_off() -> io::Error {
    let text = "cut off: the drain's time is over";
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
}

impl fmt::Debug for Conduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.talk, f)
    }
}
