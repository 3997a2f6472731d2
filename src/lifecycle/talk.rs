//! What a connection's bytes say of how far its talk has come.
//!
//! Floor 1.

use crate::lifecycle::asks::{Asks, begin_request};

/// Read from the bytes that pass, without parsing them: a few comparisons for each read and write.
///
/// A guess where bytes alone cannot tell (the rest of a body that comes after its answer), and
/// built so that a wrong guess waits for nobody who is gone: whatever it says is over with the
/// next answer. An upgrade that was asked for before the answer in front of it came is not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Nothing was read but, maybe, the first bytes of HTTP/2's preface.
    New { preface: u8 },
    /// HTTP/1, and the next byte begins a request.
    Idle,
    /// HTTP/1, within a request's head; so much of the blank line behind it has been read.
    Head { blank_line: u8 },
    /// The head is whole; the service may not have been called yet.
    Whole,
    /// The service has been called; its answer has not begun.
    Asked,
    /// `101 Switching Protocols` was written, or yes to a CONNECT: the bytes are somebody else's
    /// now.
    Upgraded,
    /// HTTP/2: which of its streams are at work is not seen from here.
    Http2,
    /// TLS, whose first record is a handshake's.
    Tls,
    /// Nothing that is known.
    Opaque,
}

/// Of HTTP/2. What only begins so is a request like any other.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Ends the head of an HTTP/1 request; without its `\r` it is accepted too.
const BLANK_LINE: &[u8] = b"\r\n\r\n";
/// The kind of a record of TLS.
const TLS_HANDSHAKE: u8 = 0x16;
/// `\n`, maybe `\r`, and `\n` have been read.
const WHOLE_BLANK_LINE: u8 = 3;

impl Talk {
    pub(crate) const fn new() -> Self {
        Self::New { preface: 0 }
    }

    /// A head has begun and is not whole: the peer has something to ask.
    pub(crate) fn in_head(self) -> bool {
        matches!(self, Self::Head { .. } | Self::New { preface: 1.. })
    }

    /// What is left of `bytes` behind HTTP/2's preface, which they end or follow.
    pub(crate) fn behind_preface(self, bytes: &[u8]) -> &[u8] {
        match self {
            Self::New { preface: 0 } => &without_empty_lines(bytes)[PREFACE.len()..],
            Self::New { preface } => &bytes[PREFACE.len() - usize::from(preface)..],
            _ => bytes,
        }
    }

    /// HTTP/1, and what was read has reached the service, as far as it is for the service.
    pub(crate) fn is_handed_over(self) -> bool {
        matches!(self, Self::Idle | Self::Asked | Self::Upgraded)
    }

    /// These bytes came from the peer, whose last request asked for `last`. Where they begin a request,
    /// says what it asks for.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], last: Asks) -> Option<Asks> {
        match *self {
            Self::New { preface: 0 } | Self::Idle => {
                let bytes = without_empty_lines(bytes);
                let before = *self;
                *self = match before {
                    Self::Idle => head(bytes, last),
                    _ => first(0, bytes),
                };
                return (*self != before).then(|| Asks::of(bytes));
            }
            Self::New { preface } => *self = first(preface, bytes),
            Self::Head { blank_line } => *self = head_from(blank_line, bytes),
            // A body, or requests sent ahead.
            _ => {}
        }
        None
    }

    /// These bytes go to the peer, whose last request asked for `asks`.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8], asks: Asks) {
        if matches!(self, Self::Whole | Self::Asked | Self::Head { .. }) {
            *self = answer(bytes, asks);
        }
    }

    /// The server has done what it can with what it has read, which hyper says right after it
    /// has called the service.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if *self == Self::Whole {
            *self = Self::Asked;
        }
    }
}

fn first(preface: u8, bytes: &[u8]) -> Talk {
    let rest = &PREFACE[usize::from(preface)..];
    let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    match u8::try_from(same).unwrap_or(u8::MAX) {
        _ if same == rest.len() => Talk::Http2,
        more if same == bytes.len() => Talk::New {
            preface: preface + more,
        },
        _ if preface > 0 => match blank_line_read(0, &PREFACE[..usize::from(preface)]) {
            WHOLE_BLANK_LINE => Talk::Whole,
            blank_line => head_from(blank_line, bytes),
        },
        // No body can be in front of it, so any method will do.
        _ if may_begin_method(bytes[0]) => head_from(0, bytes),
        _ if bytes[0] == TLS_HANDSHAKE => Talk::Tls,
        _ => Talk::Opaque,
    }
}

/// A method is a token, whatever its letters. TLS and HTTP's blanks begin with none of these.
fn may_begin_method(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first bytes after an answer to `last`. What begins no request is the rest of a body; where there
/// was none, as far as the method tells, any method will do.
fn head(bytes: &[u8], last: Asks) -> Talk {
    let begins = match bytes.first() {
        None => false,
        Some(_) if last == Asks::Upload => begin_request(bytes),
        Some(byte) => may_begin_method(*byte),
    };
    match begins {
        true => head_from(0, bytes),
        false => Talk::Idle,
    }
}

/// A server passes over empty lines in front of a request.
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    &bytes[empty.count()..]
}

fn head_from(blank_line: u8, bytes: &[u8]) -> Talk {
    // So end most reads: a request without a body.
    if bytes.ends_with(BLANK_LINE) {
        return Talk::Whole;
    }
    if blank_line == 0 && holds_blank_line(bytes) {
        return Talk::Whole;
    }
    match blank_line_read(blank_line, bytes) {
        WHOLE_BLANK_LINE => Talk::Whole,
        blank_line => Talk::Head { blank_line },
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
            (b'\n', 1 | 2) => return WHOLE_BLANK_LINE,
            (b'\n', _) => 1,
            (b'\r', 1) => 2,
            _ => 0,
        };
    }
    read
}

/// What follows an answer that begins with `bytes`.
fn answer(bytes: &[u8], asks: Asks) -> Talk {
    let Some(status) = bytes.strip_prefix(b"HTTP/1.1 ") else {
        return Talk::Idle;
    };
    match (status, asks) {
        ([b'1', b'0', b'1', ..], _) => Talk::Upgraded,
        ([b'2', ..], asks) if asks.is_connect() => Talk::Upgraded,
        // `100 Continue` and its like: the answer is still to come.
        ([b'1', ..], _) => Talk::Asked,
        _ => Talk::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pieces: &[&[u8]]) -> Talk {
        let mut talk = Talk::new();
        for piece in pieces {
            talk.read(piece, Asks::Answer);
        }
        talk
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        for head in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nhost: x\r\n\r\nbody",
            b"PROPFIND / HTTP/1.1\r\r\n\r\n",
            b"GET / HTTP/1.1\nhost: x\n\n",
            b"\r\n\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
            b"PRI /x HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n",
        ] {
            for cut in 1..head.len() {
                let (a, b) = head.split_at(cut);
                assert_eq!(after(&[a, b]), Talk::Whole, "cut at {cut}");
            }
            assert_eq!(after(&[head]), Talk::Whole);
        }
        for open in [
            &b"G"[..],
            b"P",
            b"PR",
            b"PUT",
            b"GET / HTTP/1.1\r\nhost: x\r\n",
            b"GET \n\r\r",
            b"GET \n \n",
            b"PRI x",
            &PREFACE[..17],
            b"get / HTTP/1.1\r\n",
            b"7",
            b"\r\n~",
        ] {
            assert!(after(&[open]).in_head(), "{open:?}");
        }
        // No preface after all, and nothing makes one of it.
        assert!(after(&[b"PRI x", &PREFACE[5..17]]).in_head());
    }

    #[test]
    fn http2_and_tls_are_known_by_their_first_bytes() {
        for cut in 1..PREFACE.len() {
            let (a, b) = PREFACE.split_at(cut);
            assert_eq!(after(&[a, b]), Talk::Http2, "cut at {cut}");
            let frame = [b, &[0; 9]].concat();
            assert_eq!(after(&[a]).behind_preface(&frame), [0; 9]);
        }
        let frame = [b"\r\n\n", PREFACE, &[0; 9]].concat();
        assert_eq!(after(&[]).behind_preface(&frame), [0; 9]);
        let client_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
        assert_eq!(after(&[&client_hello]), Talk::Tls);
        assert_eq!(after(&[&client_hello[..1], &client_hello[1..]]), Talk::Tls);
        assert_eq!(after(&[&[0x17, 0x03]]), Talk::Opaque);
        assert!(!after(&[&client_hello, b"GET "]).in_head());
        assert_eq!(after(&[]), Talk::new());
        assert!(!Talk::new().in_head());
    }

    #[test]
    fn an_answer_ends_the_request_and_a_continue_does_not() {
        let mut talk = after(&[b"PUT / HTTP/1.1\r\n\r\n"]);
        assert!(!talk.is_handed_over());
        talk.flush();
        assert_eq!(talk, Talk::Asked);
        talk.write(b"HTTP/1.1 100 Continue\r\n\r\n", Asks::Upload);
        talk.read(b"GET is how this body begins", Asks::Upload);
        assert_eq!(talk, Talk::Asked);
        talk.write(b"HTTP/1.1 200 OK\r\n", Asks::Upload);
        assert_eq!(talk, Talk::Idle);
        // More of the answer, whatever its body says.
        talk.write(b"HTTP/1.1 101 is no news in a body", Asks::Upload);
        assert_eq!(talk, Talk::Idle);
        // The rest of the request's body.
        for rest in [&b"{}"[..], b"BODY", b"GETTING on", b"\r\n", b""] {
            assert_eq!(talk.read(rest, Asks::Upload), None);
            assert_eq!(talk, Talk::Idle, "{rest:?}");
        }
        // Behind an answer to what has no body any method is one.
        for (begin, is_head) in [
            (&b"PROPFIND /"[..], true),
            (b"\r\nq", true),
            (b"<xml>", false),
            (b"\r\n", false),
            (b"", false),
        ] {
            let mut talk = talk;
            assert_eq!(talk.read(begin, Asks::Answer).is_some(), is_head);
            assert_eq!(talk.in_head(), is_head, "{begin:?}");
        }
        talk.read(b"GET / HT", Asks::Upload);
        assert!(talk.in_head());
        // A partial head is answered too: 408, 431.
        talk.write(b"HTTP/1.1 408 Request Timeout\r\n", Asks::Answer);
        assert_eq!(talk, Talk::Idle);
    }

    #[test]
    fn a_socket_stays_upgraded_whatever_goes_over_it() {
        let mut talk = after(&[b"GET /ws HTTP/1.1\r\n\r\n"]);
        talk.flush();
        talk.write(b"HTTP/1.1 101 Switching Protocols\r\n", Asks::Answer);
        talk.write(b"HTTP/1.1 200 OK\r\n", Asks::Answer);
        talk.read(b"GET / HTTP/1.1\r\n", Asks::Answer);
        talk.flush();
        assert_eq!(talk, Talk::Upgraded);
    }

    #[test]
    fn a_yes_to_connect_makes_a_tunnel() {
        for (method, status, then) in [
            ("CONNECT", 200, Talk::Upgraded),
            ("CONNECT", 502, Talk::Idle),
            ("COPY", 201, Talk::Idle),
        ] {
            let mut talk = Talk::new();
            let head = format!("{method} x:1 HTTP/1.1\r\n\r\n");
            let asks = talk.read(head.as_bytes(), Asks::Answer).expect("a request");
            talk.write(format!("HTTP/1.1 {status} x\r\n").as_bytes(), asks);
            assert_eq!(talk, then, "{method} {status}");
        }
    }

    #[test]
    fn what_a_request_asks_for_is_said_once_however_it_is_cut() {
        for (head, upload, connect) in [
            (&b"POST / HTTP/1.1\r\n"[..], true, false),
            (b"\r\nPUT / HTTP/1.1\r\n", true, false),
            (b"CONNECT x:1 HTTP/1.1\r\n", false, true),
            (b"GET / HTTP/1.1\r\n", false, false),
        ] {
            for cut in 0..head.len() {
                for mut talk in [Talk::new(), Talk::Idle] {
                    let (a, b) = head.split_at(cut);
                    let mut asks = talk.read(a, Asks::Upload);
                    match &mut asks {
                        None => asks = talk.read(b, Asks::Upload),
                        Some(asks) => {
                            assert_eq!(talk.read(b, *asks), None, "{head:?} cut at {cut}");
                            asks.go_on(b);
                        }
                    }
                    let asks = asks.expect("a request");
                    let said = (asks == Asks::Upload, asks.is_connect());
                    assert_eq!(said, (upload, connect), "{head:?} cut at {cut}");
                }
            }
        }
    }
}
