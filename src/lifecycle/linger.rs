//! Reading on after the last word, so that the peer gets to hear it.
//!
//! Floor 3.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Takes in and drops what a peer still sends, until it ends its side, is silent for a second, five
/// seconds are over, or the drain needs what is left of its time.
///
/// A socket that is closed with bytes unread is reset, and the reset overtakes the answer: a client
/// that was told 503 in the middle of its upload would see a broken connection.
pub(crate) struct Linger {
    ends: Instant,
    silent: Pin<Box<Sleep>>,
}

const SILENCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);
/// In one go, before others have their turn.
const MOST_READS: usize = 32;

impl Linger {
    /// # Panics
    /// Outside a tokio runtime with time.
    pub(crate) fn new(last: Instant) -> Self {
        let now = Instant::now();
        let ends = last.min(now + LONGEST);
        Self {
            ends,
            silent: Box::pin(sleep_until(ends.min(now + SILENCE))),
        }
    }

    /// Ready when it is over, however it ended.
    pub(crate) fn poll(
        &mut self,
        mut io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut dropped = [0; 8 * 1024];
        for read in 0..MOST_READS {
            let mut piece = ReadBuf::new(&mut dropped);
            match io.as_mut().poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    if read > 0 {
                        let silent = Instant::now() + SILENCE;
                        self.silent.as_mut().reset(silent.min(self.ends));
                    }
                    return self.silent.as_mut().poll(cx);
                }
            }
        }
        if Instant::now() >= self.ends {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
