//! Scripts that Redis did not know: sent again, and the text of each once for all who run it.
//!
//! Floor 3.

use std::mem;

use redis::Cmd;

use super::queue::{Caller, Queued, Script};
use super::script::by_text;

/// What is to be sent again on one connection.
///
/// After a restart or a `SCRIPT FLUSH` all who run a script are told at once that it is unknown. Redis
/// carries out in order, so one of them sends the text, and all others name it again, behind that one.
#[derive(Debug, Default)]
pub(crate) struct Again {
    queued: Vec<Queued>,
    /// Scripts whose text is on its way.
    texts: Vec<&'static str>,
}

impl Again {
    /// Takes a command whose script `text` is unknown to Redis.
    ///
    /// One that was behind the text, and in vain, sends it itself: the one in front may have been refused,
    /// been late, or gone to another node, and scripts may be flushed in between. So there are three
    /// sendings at most.
    pub(crate) fn take(&mut self, command: &Cmd, caller: Caller, text: &'static str) {
        let is_first = matches!(caller.script, Script::Named(_));
        let (command, script) = if is_first && self.texts.contains(&text) {
            (command.clone(), Script::NamedAgain(text))
        } else {
            self.texts.push(text);
            (by_text(command, text), Script::Whole(text))
        };
        let caller = Caller { script, ..caller };
        self.queued.push(Queued { command, caller });
    }

    /// Redis has answered: the text of this script, if it was sent, is not on its way any longer.
    pub(crate) fn answered(&mut self, script: Script) {
        if let Script::Whole(text) = script {
            self.texts.retain(|known| *known != text);
        }
    }

    /// In order, to be sent next.
    pub(crate) fn queued(&mut self) -> impl Iterator<Item = Queued> {
        mem::take(&mut self.queued).into_iter()
    }
}
