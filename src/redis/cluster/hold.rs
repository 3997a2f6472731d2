//! What a handle holds of the cluster.
//!
//! Floor 3.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::nodes::Nodes;

/// Dropped, it leaves the nodes to the router: what was sent may still be redirected.
pub(crate) struct Hold {
    nodes: Arc<Nodes>,
    heir: Option<oneshot::Sender<Arc<Nodes>>>,
}

impl Hold {
    pub(crate) fn new(nodes: Arc<Nodes>, heir: oneshot::Sender<Arc<Nodes>>) -> Self {
        let heir = Some(heir);
        Self { nodes, heir }
    }
}

impl Deref for Hold {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(heir) = self.heir.take() {
            // A router that has ended needs none.
            let _ = heir.send(Arc::clone(&self.nodes));
        }
    }
}
