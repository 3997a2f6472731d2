//! The scripts that may touch the list of a user beside a session.
//! Floor 4.

use crate::redis::script::{Script, script};

pub(super) struct Scripts {
    pub(super) create: Script,
    /// For saves that may touch the list: the others are spared its functions.
    pub(super) save_and_list: Script,
    pub(super) renew: Script,
    pub(super) destroy: Script,
}

/// Where one Redis has all keys.
pub(super) static TOGETHER: Scripts = Scripts {
    create: script!("put.lua", "index.lua", "create.lua"),
    save_and_list: script!("put.lua", "index.lua", "save.lua"),
    renew: script!("put.lua", "index.lua", "renew.lua"),
    destroy: script!("put.lua", "index.lua", "destroy.lua"),
};
