//! What must hold for whatever Redis replies.
//! Floor 4.
//!
//! Not part of the API: the fuzz targets call it.

use crate::session::change::ChangeSet;
use crate::session::record::Version;
use crate::session::redis::save::save_reply;
use crate::session::redis::walk::Page;
use crate::session::save::{Plan, Save};
use crate::session::terms::AS_THEY_ARE;
use crate::session::token::VerifierHash;

/// What a script replies.
pub fn reply(data: &[u8]) {
    let Ok(value) = ::redis::parse_redis_value(data) else {
        return;
    };
    let save = Save {
        verifier: VerifierHash::from_bytes([7; 32]),
        version: Version::next(),
        plan: Plan::Merge,
        changes: &ChangeSet::default(),
        terms: &AS_THEY_ARE,
        rotate_to: None,
        limit: 1024,
    };
    let _ = save_reply(value.clone(), &save, 1_700_000_000_000).is_ok();
    let _ = Page::read(value).is_ok();
}
