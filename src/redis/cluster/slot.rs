//! Which of the 16384 slots a key is in.
//!
//! Floor 1.

use redis::{Arg, Cmd};

pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key: of its hash tag, where it has one.
pub(crate) fn of_key(key: &[u8]) -> u16 {
    of_tag(tag(key))
}

/// The slot of what is between the braces.
pub(crate) fn of_tag(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0, |crc: u16, byte| {
        let at = (crc >> 8) as u8 ^ byte;
        (crc << 8) ^ TABLE[usize::from(at)]
    });
    crc % SLOTS
}

/// The slot of the command's first key; none where it has no key, as far as this crate's own
/// commands go.
pub(crate) fn of_command(command: &Cmd) -> Option<u16> {
    let argument = |at| match command.args_iter().nth(at) {
        Some(Arg::Simple(bytes)) => Some(bytes),
        _ => None,
    };
    let is_script = argument(0).is_some_and(|name| {
        name.eq_ignore_ascii_case(b"EVALSHA") || name.eq_ignore_ascii_case(b"EVAL")
    });
    let key = match is_script {
        true if argument(2) == Some(b"0") => None,
        true => argument(3),
        false => argument(1),
    };
    key.map(of_key)
}

/// What is hashed: between the first `{` and the next `}`, where anything is.
fn tag(key: &[u8]) -> &[u8] {
    let inner = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    inner.unwrap_or(key)
}

/// CRC-16/XMODEM, a byte at a time.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The check value of CRC-16/XMODEM, and what CLUSTER KEYSLOT says.
        assert_eq!(of_tag(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("", 0),
            ("foo", 12182),
            ("{foo}.bar", 12182),
            ("foo{}bar", of_tag(b"foo{}bar")),
            ("foo{{bar}}zap", of_tag(b"{bar")),
            ("foo{bar}{zap}", of_tag(b"bar")),
            ("foo{bar", of_tag(b"foo{bar")),
        ] {
            assert_eq!(of_key(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn a_command_is_where_its_first_key_is() {
        let of = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            of_command(&command)
        };
        let foo = Some(12182);
        assert_eq!(of(&["GET", "foo"]), foo);
        assert_eq!(of(&["MGET", "{foo}a", "{foo}b"]), foo);
        assert_eq!(of(&["EVALSHA", "digest", "2", "foo", "x"]), foo);
        assert_eq!(of(&["eval", "return 1", "1", "foo"]), foo);
        assert_eq!(of(&["EVAL", "return 1", "0", "foo"]), None);
        assert_eq!(of(&["PING"]), None);
    }
}
