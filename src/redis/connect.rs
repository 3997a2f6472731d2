//! One attempt to reach Redis: connect, log in, see that it serves, read its clock.
//!
//! Floor 3.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind};
use tokio::sync::oneshot;

use super::dial::{Driver, Target, dial};
use super::failure::Failure;
use super::mailbox::Mailbox;
use super::probe::{Probed, probe};

/// A connection on which Redis has just answered.
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
    /// Sent by the driver when the connection ends, also while nothing is asked.
    pub(crate) lost: oneshot::Receiver<()>,
    pub(crate) probed: Probed,
}

/// Tries once, no longer than `timeout`.
///
/// `room` writes may wait in the driver. Whatever is handed to it must fit: one that waits for room
/// is looked at only when all before it are answered, so it would leave alone.
///
/// Dropping the future closes whatever was opened.
pub(crate) async fn attempt(
    target: Target,
    mailbox: Arc<Mailbox>,
    timeout: Duration,
    room: usize,
) -> Result<Line, Failure> {
    match tokio::time::timeout(timeout, open(target, mailbox, room)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::unreachable(format!(
            "no answer within {timeout:?}"
        ))),
    }
}

async fn open(target: Target, mailbox: Arc<Mailbox>, room: usize) -> Result<Line, Failure> {
    let (ended, lost) = oneshot::channel();
    let ended = Mutex::new(Some(ended));
    let silent = mailbox.silent_channel().to_owned();
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
    let (mut connection, driver) = dial(target, &config).await?;
    let probed = probe(&mut connection, &silent).await?;
    Ok(Line {
        connection,
        driver,
        lost,
        probed,
    })
}
