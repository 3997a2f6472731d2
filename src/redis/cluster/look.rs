//! Asks nodes who has which slots, each on a connection of its own: whoever is asked may be a
//! replica, or one that no link leads to.
//!
//! Floor 3.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Pipeline, ServerError, Value, from_redis_value};
use tokio::task::JoinSet;

use super::node::Node;
use super::slots_reply::Slots;
use crate::redis::away::AwayCause;
use crate::redis::dial::{Target, dial};
use crate::redis::failure::Failure;

/// The answer of the first of `nodes` that is part of a working cluster.
///
/// Dropping the future closes whatever was opened.
pub(crate) async fn look(nodes: Vec<(Node, Target)>, timeout: Duration) -> Result<Slots, Failure> {
    let mut asked = JoinSet::new();
    for (node, target) in nodes {
        asked.spawn(async move {
            let answer = tokio::time::timeout(timeout, ask(&node, target)).await;
            let silent = || Failure::unreachable(format!("no answer within {timeout:?}"));
            let answer = answer.unwrap_or_else(|_| Err(silent()));
            answer.map_err(|Failure { cause, reason }| {
                Failure::new(cause, format!("{node}: {reason}"))
            })
        });
    }
    let mut last = Failure::unreachable("no node of the cluster is known");
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(slots)) => return Ok(slots),
            // What somebody has to mend says more than that one of several is down.
            Ok(Err(failure)) if last.cause == AwayCause::Unreachable => last = failure,
            _ => {}
        }
    }
    Err(last)
}

async fn ask(node: &Node, target: Target) -> Result<Slots, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let (mut connection, _driver) = dial(target, &config).await?;
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("CLUSTER").arg("INFO");
    pipeline.cmd("CLUSTER").arg("SLOTS");
    let replies = connection.send_packed_commands(&pipeline, 0, 2).await;
    let replies: [Value; 2] = replies
        .map_err(|error| Failure::from(&error))?
        .try_into()
        .map_err(|_| Failure::unreachable("replies are missing"))?;
    let [info, slots] = replies;
    // One that is cut off from the others, or does not know them yet, knows the slots of old.
    let info: String = from_redis_value(served(info)?).unwrap_or_default();
    if !info.contains("cluster_state:ok") {
        let reason = "the cluster does not serve: its state is not ok";
        return Err(Failure::new(AwayCause::NotReady, reason));
    }
    let slots = Slots::read(served(slots)?, node);
    slots.ok_or_else(|| {
        Failure::new(
            AwayCause::NotReady,
            "CLUSTER SLOTS was not answered with slots",
        )
    })
}

fn served(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) if is_no_cluster(&error) => Err(Failure::new(
            AwayCause::Unsupported,
            "the server is no node of a Cluster: use redis://",
        )),
        Value::ServerError(error) => Err(Failure::from(&error)),
        reply => Ok(reply),
    }
}

/// `ERR This instance has cluster support disabled`
fn is_no_cluster(error: &ServerError) -> bool {
    error
        .details()
        .is_some_and(|text| text.contains("cluster support disabled"))
}
