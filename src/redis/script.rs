//! A Lua script: its text, its digest, and the two commands that run it.
//!
//! Floor 3.

use std::io::Write;
use std::sync::LazyLock;

use redis::RedisWrite;

/// A script that is compiled in; `static SAVE: Script = script!("save.lua");`.
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

    /// `EVALSHA`: what is sent first.
    pub(crate) fn by_digest(&self, keys: &[&[u8]], args: &[&[u8]]) -> redis::Cmd {
        let bytes: usize = keys.iter().chain(args).map(|part| part.len()).sum();
        let digest = self.digest();
        // Room for everything at once: two allocations however many arguments there are.
        let mut command = redis::Cmd::with_capacity(
            3 + keys.len() + args.len(),
            "EVALSHA".len() + digest.len() + 3 + bytes,
        );
        command.arg("EVALSHA").arg(digest).arg(keys.len());
        for part in keys.iter().chain(args) {
            command.arg(*part);
        }
        command
    }

    /// `EVALSHA` as far as its only key, with room for so many arguments of so many bytes in all.
    pub(crate) fn on_key(&self, key: &[&[u8]], args: usize, bytes: usize) -> redis::Cmd {
        let digest = self.digest();
        let bytes = key.iter().map(|piece| piece.len()).sum::<usize>() + bytes;
        let mut command =
            redis::Cmd::with_capacity(4 + args, "EVALSHA".len() + digest.len() + "1".len() + bytes);
        command.arg("EVALSHA").arg(digest).arg(1);
        push_pieces(&mut command, key.iter().copied());
        command
    }
}

/// An argument that lies about in pieces: put together where it is sent from, not before.
pub(crate) fn push_pieces<'a>(
    command: &mut redis::Cmd,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) {
    let mut argument = command.writer_for_next_arg();
    for piece in pieces {
        // Memory takes everything.
        let _ = argument.write_all(piece);
    }
}

/// `EVAL` with the arguments of an `EVALSHA` that Redis did not know.
pub(crate) fn by_text(by_digest: &redis::Cmd, text: &str) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text);
    for argument in by_digest.args_iter().skip(2) {
        if let redis::Arg::Simple(bytes) = argument {
            command.arg(bytes);
        }
    }
    command
}

/// `script!("save.lua")`: the files beside the caller, compiled in, one after the other.
macro_rules! script {
    ($($path:literal),+) => {
        $crate::redis::script::Script::new(|| {
            let text = concat!($(include_str!($path)),+);
            (text, ::redis::Script::new(text).get_hash().to_owned())
        })
    };
}
pub(crate) use script;
