//! Redis Cluster: one supervised link for each master, and above them what knows which one has a
//! key.
//!
//! `slot` and `node` are values, `slots_reply` reads what Redis says of itself, `nodes` holds the
//! links and is asked for every command, `serving` says whether they serve; `router` is the task that follows the cluster: it sends on
//! what was redirected and keeps the map of the slots, which `look` asks for.

mod changes;
pub(crate) mod hold;
mod look;
pub(crate) mod news;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod router;
mod serving;
pub(crate) mod slot;
pub(crate) mod slots_reply;
pub(crate) mod tag;
pub(crate) mod told;
pub(crate) mod url;
