//! Where the head of an HTTP/1 request ends.
//!
//! Floor 0.

/// Ends a head; without its `\r` it is accepted too.
const BLANK_LINE: &[u8] = b"\r\n\r\n";
/// `\n`, maybe `\r`, and `\n` have been read.
const WHOLE: u8 = 3;

/// Reads on in a head of which `blank_line` bytes of the blank line behind it have been read: how many
/// there are now, none where it is whole.
pub(crate) fn rest_of_head(blank_line: u8, bytes: &[u8]) -> Option<u8> {
    // So end most reads: a request without a body.
    if bytes.ends_with(BLANK_LINE) || blank_line == 0 && holds_blank_line(bytes) {
        return None;
    }
    match blank_line_read(blank_line, bytes) {
        WHOLE => None,
        blank_line => Some(blank_line),
    }
}

/// Looks at every fourth byte while there is nothing of a blank line, so that the head in front of
/// a body is found at little cost.
fn holds_blank_line(bytes: &[u8]) -> bool {
    let mut last = BLANK_LINE.len() - 1;
    while let Some(byte) = bytes.get(last) {
        last += match byte {
            b'\n' if bytes[..=last].ends_with(BLANK_LINE) => return true,
            b'\n' => 2,
            b'\r' => 1,
            _ => BLANK_LINE.len(),
        };
    }
    false
}

/// How much of the blank line has been read, with `bytes` after the `read` before.
fn blank_line_read(mut read: u8, bytes: &[u8]) -> u8 {
    for byte in bytes {
        read = match (byte, read) {
            (b'\n', 1 | 2) => return WHOLE,
            (b'\n', _) => 1,
            (b'\r', 1) => 2,
            _ => 0,
        };
    }
    read
}
