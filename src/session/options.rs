//! What a session layer was configured with, shared by all requests it sees.
//! Floor 5.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, response};

use crate::answer::Responder;
use crate::session::commits::Commits;
use crate::session::expiry::SessionExpiry;
use crate::session::limits::SessionLimits;
use crate::session::policy::Undecodable;
use crate::session::renewals::Renewals;
use crate::session::store::DynStore;
use crate::session::transport::Transport;

pub(crate) type OnGone = dyn Fn(&response::Parts) -> Option<Response<Bytes>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) store: Arc<dyn DynStore>,
    pub(crate) transport: Transport,
    pub(crate) expiry: SessionExpiry,
    pub(crate) limits: SessionLimits,
    pub(crate) undecodable: Undecodable,
    pub(crate) responder: Responder,
    pub(crate) commit_when: fn(StatusCode) -> bool,
    pub(crate) commits: Commits,
    pub(crate) renewals: Arc<Renewals>,
    pub(crate) on_gone: Option<Arc<OnGone>>,
}
