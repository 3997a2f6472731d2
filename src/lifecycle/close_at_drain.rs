//! A socket that says goodbye when draining begins.
//!
//! Floor 4.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep};

use crate::lifecycle::phase::Phase;
use crate::lifecycle::sync::Notified;
use crate::lifecycle::watch::PhaseWatch;

pin_project! {
    /// Made by [`PhaseWatch::close_at_drain`].
    #[must_use = "a socket says goodbye only while it is read"]
    pub struct CloseAtDrain<S, M> {
        #[pin]
        socket: S,
        // Boxed, so that who has the socket may move it, as `next()` and `send()` need it.
        changed: Pin<Box<Notified<'static>>>,
        watch: PhaseWatch,
        stage: Stage,
        // Until it is handed to the socket.
        goodbye: Option<M>,
        within: Duration,
        // There from the moment when draining is seen.
        patience: Option<Pin<Box<Sleep>>>,
        halves: Halves,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Saying,
    Hearing,
    Over,
}

/// A socket that is split belongs to two tasks, and while the goodbye is said both write to it.
/// It knows one of them only, so each is woken when the other has come further.
#[derive(Default)]
struct Halves {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl PhaseWatch {
    /// `socket`, which says `goodbye` when draining begins, and then ends: when the peer has
    /// answered and let go, or `within` that time.
    ///
    /// For whatever is a stream and a sink of messages: axum's `WebSocket`, tokio-tungstenite's
    /// `WebSocketStream`. A handler uses it as it would the socket. What it has taken from it, it
    /// can still answer; its next look says goodbye. What comes after that is not shown to it,
    /// for it could not be answered any more: the peer, who is told, sends it again elsewhere.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures_util::{SinkExt, StreamExt};
    /// use tokio_tungstenite::WebSocketStream;
    /// use tokio_tungstenite::tungstenite::Message;
    /// use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
    /// use tower_handoff::lifecycle::{Phase, PhaseControl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (client, server) = tokio::io::duplex(1024);
    /// # let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    /// # let socket = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
    /// let phases = PhaseControl::new();
    /// let goodbye = Message::Close(Some(CloseFrame {
    ///     code: CloseCode::Away, // 1001
    ///     reason: "draining".into(),
    /// }));
    /// let patience = Duration::from_secs(5);
    /// let mut socket = phases.watch().close_at_drain(socket, goodbye.clone(), patience);
    /// let handler = tokio::spawn(async move {
    ///     while let Some(Ok(message)) = socket.next().await {
    ///         let _ = socket.send(message).await;
    ///     }
    /// });
    ///
    /// client.send("hello".into()).await?;
    /// assert_eq!(client.next().await.transpose()?, Some("hello".into()));
    /// phases.advance(Phase::Draining);
    /// assert_eq!(client.next().await.transpose()?, Some(goodbye));
    /// assert_eq!(client.next().await.transpose()?, None);
    /// handler.await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Give it less time than the drain has, or a peer that never answers is cut off by the drain
    /// and stands in its report. With none the goodbye is sent, and not waited for.
    ///
    /// It is reading that says goodbye, so a handler that only sends has to read as well (it would
    /// hear of no ping or close otherwise). A send is neither ended nor bounded: while the peer takes
    /// nothing in, it waits until the drain cuts the connection off.
    ///
    /// # Errors
    /// Those of the socket, until draining begins. Then whatever fails is the end of the stream;
    /// sends fail as they do on a socket that was closed.
    ///
    /// # Panics
    /// When draining begins and the stream is polled outside a tokio runtime with a clock.
    ///
    /// # Cancel safety
    /// `next` may be dropped at any time: a goodbye that is half said is gone on with. Dropping the
    /// whole drops the socket, without a goodbye that was not said.
    ///
    /// Costs an allocation, an atomic load for each message that is read, and a lock when there is
    /// none; when draining begins, one allocation more.
    pub fn close_at_drain<S, M>(
        &self,
        socket: S,
        goodbye: M,
        within: Duration,
    ) -> CloseAtDrain<S, M>
    where
        S: Stream + Sink<M>,
    {
        CloseAtDrain {
            socket,
            changed: Box::pin(self.changed()),
            watch: *self,
            stage: Stage::Open,
            goodbye: Some(goodbye),
            within,
            patience: None,
            halves: Halves::default(),
        }
    }
}

impl<S, M, T, E> Stream for CloseAtDrain<S, M>
where
    S: Stream<Item = Result<T, E>> + Sink<M>,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if *this.stage == Stage::Open {
            if this.watch.current() < Phase::Draining {
                let next = this.socket.as_mut().poll_next(cx);
                if next.is_ready() {
                    return next;
                }
                // Listens first and looks then, so a change in between is not missed.
                while this.changed.as_mut().poll(cx).is_ready() {
                    this.changed.set(this.watch.changed());
                }
                if this.watch.current() < Phase::Draining {
                    return Poll::Pending;
                }
            }
            *this.patience = Some(Box::pin(sleep(*this.within)));
            *this.stage = Stage::Saying;
        }
        if *this.stage == Stage::Saying {
            this.halves.reader = Some(cx.waker().clone());
            // A failure is left to the reading: it finds the end of a socket that is broken, and
            // the peer's goodbye where that came first.
            if say(this.socket.as_mut(), this.goodbye, cx).is_ready() {
                *this.stage = Stage::Hearing;
                this.halves.wake();
            }
        }
        if *this.stage == Stage::Hearing {
            match this.socket.poll_next(cx) {
                // One at a time: a peer that never stops does not outlast the patience.
                Poll::Ready(Some(Ok(_))) => cx.waker().wake_by_ref(),
                Poll::Ready(Some(Err(_)) | None) => *this.stage = Stage::Over,
                Poll::Pending => {}
            }
        }
        // The socket may have used up the task's budget.
        let patience = this.patience.as_mut().map(|it| unconstrained(it.as_mut()));
        if patience.is_none_or(|patience| pin!(patience).poll(cx).is_ready()) {
            *this.stage = Stage::Over;
        }
        if *this.stage != Stage::Over {
            return Poll::Pending;
        }
        *this.patience = None;
        this.halves.wake();
        Poll::Ready(None)
    }
}

fn say<S: Sink<M>, M>(
    mut socket: Pin<&mut S>,
    goodbye: &mut Option<M>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), S::Error>> {
    if goodbye.is_some() {
        ready!(socket.as_mut().poll_ready(cx))?;
    }
    if let Some(goodbye) = goodbye.take() {
        socket.as_mut().start_send(goodbye)?;
    }
    socket.poll_flush(cx)
}

impl<S: Sink<M>, M> Sink<M> for CloseAtDrain<S, M> {
    type Error = S::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        this.halves.writes(this.socket.poll_ready(cx), cx)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), S::Error> {
        self.project().socket.start_send(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        this.halves.writes(this.socket.poll_flush(cx), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let this = self.project();
        this.halves.writes(this.socket.poll_close(cx), cx)
    }
}

impl Halves {
    fn writes<T>(&mut self, written: Poll<T>, cx: &Context<'_>) -> Poll<T> {
        if written.is_pending() {
            self.writer = Some(cx.waker().clone());
        } else if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        written
    }

    fn wake(&mut self) {
        let Self { reader, writer } = std::mem::take(self);
        drop(reader);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl<S: fmt::Debug, M> fmt::Debug for CloseAtDrain<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseAtDrain")
            .field("socket", &self.socket)
            .field("watch", &self.watch)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
