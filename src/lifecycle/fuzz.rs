//! What must hold for whatever bytes a client sends.
//!
//! Floor 2.
//!
//! Not part of the API: the fuzz target calls it.

use crate::lifecycle::asks::Asks;
use crate::lifecycle::talk::Talk;

/// The first request of a connection, in pieces: the first byte says how long they are. The rest answers it.
#[allow(missing_docs, reason = "it says whose bytes they are")]
pub fn talk(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else {
        return;
    };
    let (whole, asks) = read(bytes, bytes.len().max(1));
    for size in [1, usize::from(size).max(1)] {
        let (talk, asked) = read(bytes, size);
        assert_eq!(talk, whole, "in pieces of {size}");
        assert_eq!(asked.is_connect(), asks.is_connect(), "in pieces of {size}");
    }
    assert_eq!(
        asks.is_connect(),
        after_empty_lines(bytes).starts_with(b"CONNECT ")
    );
    let mut talk = whole;
    talk.flush();
    assert_eq!(talk == Talk::Asked, whole == Talk::Whole);
    talk.write(bytes, asks);
    talk.write(b"HTTP/1.1 200 OK\r\n", asks);
    assert!(
        !talk.in_head() || whole == talk,
        "an answer ends its request"
    );
    // What is somebody else's stays theirs.
    let theirs = matches!(
        talk,
        Talk::Http2 | Talk::Tls | Talk::Opaque | Talk::Upgraded
    );
    let before = talk;
    talk.read(bytes, asks);
    talk.write(bytes, asks);
    assert!(!theirs || talk == before);
}

fn read(bytes: &[u8], size: usize) -> (Talk, Asks) {
    let (mut talk, mut asks) = (Talk::new(), Asks::Answer);
    for piece in bytes.chunks(size) {
        match talk.read(piece, asks) {
            Some(begun) => asks = begun,
            None => asks.go_on(piece),
        }
    }
    (talk, asks)
}

fn after_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take_while(|byte| b"\r\n".contains(byte));
    &bytes[empty.count()..]
}
