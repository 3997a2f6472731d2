//! One attempt to reach Redis: connect, log in, see that it serves, read its clock.
//!
//! Floor 3.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, ErrorKind, PushInfo, PushKind, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::{describe, without_arguments};
use super::mailbox::Mailbox;

/// No clock shows more: beyond it milliseconds cannot be added to without care.
const LATEST_MS: u64 = 1 << 53;

/// A connection on which Redis has just answered.
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    /// Sent by the driver when the connection ends, also while nothing is asked.
    pub(crate) lost: oneshot::Receiver<()>,
    pub(crate) time: Time,
}

/// Redis's time in ms, and when it was asked and answered.
pub(crate) struct Time {
    pub(crate) redis_ms: u64,
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
}

/// Tries once, no longer than `timeout`. The error is a reason for people, without passwords.
///
/// `room` writes may wait in the driver. Whatever is handed to it must fit: one that waits for room
/// is looked at only when all before it are answered, so it would leave alone.
///
/// Dropping the future closes whatever was opened.
pub(crate) async fn attempt(
    info: ConnectionInfo,
    mailbox: Arc<Mailbox>,
    timeout: Duration,
    room: usize,
) -> Result<Line, String> {
    match tokio::time::timeout(timeout, open(info, mailbox, room)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

async fn open(info: ConnectionInfo, mailbox: Arc<Mailbox>, room: usize) -> Result<Line, String> {
    let (ended, lost) = oneshot::channel();
    let ended = Mutex::new(Some(ended));
    let config = AsyncConnectionConfig::new()
        // The supervisor and the attempt have time-outs of their own.
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(room)
        .set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                // It comes once; a poisoned lock cannot be, nothing panics under it.
                if let Some(ended) = ended.lock().ok().and_then(|mut ended| ended.take()) {
                    let _ = ended.send(());
                }
            } else {
                mailbox.deliver(push);
            }
            Ok::<(), ()>(())
        });
    let client = redis::Client::open(info).map_err(|error| reason(&error))?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(|error| reason(&error))?;

    // PING is refused while Redis loads its data or is a replica without a master; TIME is not.
    let mut probe = redis::Pipeline::with_capacity(2);
    probe.cmd("PING").cmd("TIME");
    let sent = Instant::now();
    let replies = connection
        .send_packed_commands(&probe, 0, 2)
        .await
        .map_err(|error| reason(&error))?;
    let received = Instant::now();
    let mut time = Value::Nil;
    for reply in replies {
        match reply {
            Value::ServerError(error) => return Err(describe(&error)),
            reply => time = reply,
        }
    }
    let redis_ms = redis::from_redis_value::<(u64, u64)>(time)
        .ok()
        .and_then(|(seconds, micros)| seconds.checked_mul(1000)?.checked_add(micros / 1000))
        .filter(|ms| *ms <= LATEST_MS)
        .ok_or("TIME was not answered with a time")?;
    Ok(Line {
        connection,
        lost,
        time: Time {
            redis_ms,
            sent,
            received,
        },
    })
}

/// What redis-rs says of a failed attempt. A server that does not know HELLO repeats what came with
/// it, the password: that part stays out.
fn reason(error: &redis::RedisError) -> String {
    match error.kind() {
        ErrorKind::RESP3NotSupported => "the server does not speak RESP3".to_owned(),
        _ => without_arguments(&error.to_string()).to_owned(),
    }
}
