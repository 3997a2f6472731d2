//! The crate's own view of the connection, for its tests and benches.
//!
//! Floor 4.

use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use redis::{Cmd, Value};
use tokio::sync::{mpsc, watch};

use super::error::RedisError;
use super::handle::RedisHandle;
use super::script::Script;

/// Not part of the API: commands of one's own over the supervised connection, so that it can be
/// tested and measured by itself.
#[derive(Debug, Clone)]
pub struct Wire(RedisHandle);

impl RedisHandle {
    #[doc(hidden)]
    #[must_use]
    pub fn wire(&self) -> Wire {
        Wire(self.clone())
    }
}

#[allow(
    missing_docs,
    reason = "each does what the handle's method of that name does"
)]
impl Wire {
    pub async fn send(&self, command: Cmd) -> Result<Value, RedisError> {
        self.0.send(command).await
    }

    /// Sends without waiting for the reply.
    pub fn post(&self, command: Cmd) {
        let _ = pin!(self.send(command)).poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Runs `return {KEYS[1], ARGV[1]}`.
    pub async fn run_echo(&self, key: &[u8], argument: &[u8]) -> Result<Value, RedisError> {
        self.0.run(&ECHO, &[key], &[argument]).await
    }

    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    pub fn observe_time(&self, tag: &str, redis_ms: u64) {
        self.0.observe_time(|| tag, redis_ms);
    }

    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.0.epochs()
    }

    #[must_use]
    pub fn inbox_channel(&self) -> String {
        self.0.channel().to_owned()
    }

    pub async fn inbox_ready(&self) -> Result<(), RedisError> {
        self.0.inbox(|| "").ready().await
    }

    /// For the first who asks.
    #[must_use]
    pub fn inbox_messages(&self) -> mpsc::UnboundedReceiver<Bytes> {
        let (tell, messages) = mpsc::unbounded_channel();
        self.0.hear(|| {
            Box::new(move |message| {
                let _ = tell.send(Bytes::copy_from_slice(message));
            })
        });
        messages
    }
}

static ECHO: Script = Script::new(|| {
    let text = "return {KEYS[1], ARGV[1]}";
    (text, redis::Script::new(text).get_hash().to_owned())
});
