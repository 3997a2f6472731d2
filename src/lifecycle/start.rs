//! What must be done before the instance is ready.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use crate::BoxError;
use crate::lifecycle::check::BoxFuture;

/// One start-up gate: its name and what it waits for.
pub(crate) struct StartGate {
    pub(crate) name: Arc<str>,
    pub(crate) work: BoxFuture<'static, Result<(), BoxError>>,
}

/// Runs all gates side by side, each in a task of its own; ready when all are open.
///
/// # Errors
/// The first one that fails or panics, by name. The others are dropped then, as they are when
/// this future is.
pub(crate) async fn open_all(gates: Vec<StartGate>) -> Result<(), String> {
    let mut running = JoinSet::new();
    let mut names: Vec<(Id, Arc<str>)> = Vec::with_capacity(gates.len());
    for gate in gates {
        names.push((running.spawn(gate.work).id(), gate.name));
    }
    while let Some(ended) = running.join_next_with_id().await {
        let (id, failure) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error.to_string())),
            Err(error) => (error.id(), Some("it panicked".to_owned())),
        };
        let name = names.iter().find(|(named, _)| *named == id);
        let name = name.map_or("?", |(_, name)| name);
        match failure {
            None => tracing::debug!(name, "start-up gate is open"),
            Some(error) => return Err(format!("start-up gate {name}: {error}")),
        }
    }
    Ok(())
}
