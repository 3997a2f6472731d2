//! Percent-encoding, so that what a request says is never taken for syntax.
//!
//! Floor 1.

/// Appends a value of a request's: all but the unreserved characters of RFC 3986 become `%XX`.
pub(crate) fn push_value(out: &mut String, value: &[u8]) {
    push_escaped(out, value, is_unreserved);
}

/// What a value contains unescaped.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Appends `bytes`: what `plain` does not accept becomes `%XX`, and `%` always does.
pub(crate) fn push_escaped(out: &mut String, bytes: &[u8], plain: impl Fn(u8) -> bool) {
    for &byte in bytes {
        if byte.is_ascii() && byte != b'%' && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            push_hex(out, byte);
        }
    }
}

/// Appends two hexadecimal digits.
pub(crate) fn push_hex(out: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
    }
}
