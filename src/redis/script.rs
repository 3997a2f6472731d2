//! A Lua script: its text and its digest.

use std::sync::LazyLock;

/// A script that is compiled in; `static SAVE: Script = Script::new(|| include_str!("save.lua"))`.
#[derive(Debug)]
pub(crate) struct Script(LazyLock<(&'static str, String)>);

impl Script {
    pub(crate) const fn new(text: fn() -> (&'static str, String)) -> Self {
        Self(LazyLock::new(text))
    }

    pub(crate) fn text(&self) -> &'static str {
        self.0.0
    }

    pub(crate) fn digest(&self) -> &str {
        &self.0.1
    }
}

/// `script!("save.lua")`: the file beside the caller, compiled in.
macro_rules! script {
    ($path:literal) => {
        $crate::redis::Script::new(|| {
            let text = include_str!($path);
            (text, ::redis::Script::new(text).get_hash().to_owned())
        })
    };
}
pub(crate) use script;
