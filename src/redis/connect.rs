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
use super::keyspace::Keyspace;
use super::mailbox::Mailbox;
use super::probe::{Probed, probe};
use super::whereabouts::Whereabouts;

/// A connection on which Redis has just answered.
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
    /// Ends with the connection, also while nothing is asked; says so where another server is to
    /// be used from now on.
    pub(crate) lost: oneshot::Receiver<Failure>,
    /// Which server it is, for logs.
    pub(crate) address: String,
    pub(crate) probed: Probed,
}

/// Tries once, no longer than `timeout`.
///
/// `clustered` says whether it is to be a node of a Cluster. `room` writes may wait in the driver. Whatever is handed to it must fit: one that waits for room
/// is looked at only when all before it are answered, so it would leave alone.
///
/// Dropping the future closes whatever was opened.
pub(crate) async fn attempt(
    whereabouts: Whereabouts,
    mailbox: Arc<Mailbox>,
    timeout: Duration,
    clustered: bool,
    room: usize,
) -> Result<Line, Failure> {
    match tokio::time::timeout(timeout, open(whereabouts, mailbox, clustered, room)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::unreachable(format!(
            "no answer within {timeout:?}"
        ))),
    }
}

async fn open(
    whereabouts: Whereabouts,
    mailbox: Arc<Mailbox>,
    clustered: bool,
    room: usize,
) -> Result<Line, Failure> {
    let (ended, lost) = oneshot::channel();
    let ended = Arc::new(Mutex::new(Some(ended)));
    let disconnected = Arc::clone(&ended);
    let (silent, keyspace) = (
        mailbox.silent_channel().to_owned(),
        mailbox.keyspace().clone(),
    );
    let config = AsyncConnectionConfig::new()
        // The supervisor and the attempt have time-outs of their own.
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(room)
        .set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                drop(take(&disconnected));
            } else {
                mailbox.deliver(&push);
            }
            Ok::<(), ()>(())
        });
    let (target, mut moved) = whereabouts.find().await?;
    let address = target.address();
    let reached = reach(target, &config, &silent, &keyspace, clustered);
    let (connection, mut driver, probed) = match &mut moved {
        None => reached.await?,
        // One that stood still may answer only when it is not the master any longer.
        Some(moved) => tokio::select! {
            failure = moved => return Err(failure),
            reached = reached => reached?,
        },
    };
    if let Some(moved) = moved {
        driver.spawn(async move {
            let failure = moved.await;
            if let Some(ended) = take(&ended) {
                let _ = ended.send(failure);
            }
        });
    }
    Ok(Line {
        connection,
        driver,
        lost,
        address,
        probed,
    })
}

async fn reach(
    target: Target,
    config: &AsyncConnectionConfig,
    silent_channel: &str,
    keyspace: &Keyspace,
    clustered: bool,
) -> Result<(MultiplexedConnection, Driver, Probed), Failure> {
    let (mut connection, driver) = dial(target, config).await?;
    let probed = probe(&mut connection, silent_channel, keyspace, clustered).await?;
    Ok((connection, driver, probed))
}

/// Whoever comes first has the word; a poisoned lock cannot be, nothing panics under it.
fn take<T>(once: &Mutex<Option<T>>) -> Option<T> {
    once.lock().ok().and_then(|mut once| once.take())
}
