//! What `create.lua` is told.
//! Floor 4.

use ::redis::Cmd;

use crate::session::save::NewSession;

/// A run of the script, of what `begin` makes room for: arguments and bytes. The script's comment says
/// what each argument means.
pub(super) fn create_command(
    begin: impl FnOnce(usize, usize) -> Cmd,
    new: &NewSession<'_>,
    user: &str,
    not_after_ms: u64,
) -> Cmd {
    // Its times are Redis's to say.
    let record = new.record(0);
    let (before, after) = record.around_clocks();
    let mut command = begin(6, record.as_bytes().len() + 3 * 13 + user.len());
    command.arg(before).arg(after);
    command
        .arg(new.expiry.idle_ms())
        .arg(new.expiry.absolute_ms());
    command.arg(user).arg(not_after_ms);
    command
}
