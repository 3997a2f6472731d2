//! Whether a peer on HTTP/2 has asked for anything yet.
//!
//! Floor 1.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Read from what the peer sends behind the preface until the head of its first request is whole, and
/// no further: of a frame only what it is, and how long.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Of the frame that has begun: its length, while that is read, and then what is left of it.
    left: u32,
    kind: u8,
    /// How much has been read of what a frame begins with.
    read: u8,
    /// The frame that has begun is the last one of a head.
    last: bool,
    head: Head,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Head {
    #[default]
    None,
    /// It has begun.
    Open,
    Whole,
}

/// Three bytes of length, the kind, and the flags. Behind them comes the stream's number.
const LENGTH: u8 = 3;
const KIND: u8 = LENGTH + 1;
const STREAM: u32 = 4;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Frames {
    /// The head of a request has been read whole.
    pub(crate) fn has_asked(&self) -> bool {
        self.head == Head::Whole
    }

    /// A head has begun and is not whole, or a frame has of which nobody can say yet what it is.
    pub(crate) fn in_head(&self) -> bool {
        match self.head {
            Head::None => self.read > 0,
            Head::Open => true,
            Head::Whole => false,
        }
    }

    /// These bytes came from the peer.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if !self.has_asked() {
            self.look(bytes);
        }
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first()
            && !self.has_asked()
        {
            if self.read == 0 && self.left > 0 {
                let passed = bytes.len().min(self.left as usize);
                // No more than `left`, hence of its size.
                self.left -= passed as u32;
                bytes = &bytes[passed..];
                if self.left == 0 && self.last {
                    self.head = Head::Whole;
                }
                continue;
            }
            bytes = rest;
            match self.read {
                ..LENGTH => self.left = self.left << 8 | u32::from(byte),
                LENGTH => self.kind = byte,
                KIND => {
                    self.begins(byte);
                    continue;
                }
                _ => {}
            }
            self.read += 1;
        }
    }

    fn begins(&mut self, flags: u8) {
        let of_head = self.kind == HEADERS || self.kind == CONTINUATION;
        self.last = of_head && flags & END_HEADERS != 0;
        if self.kind == HEADERS {
            self.head = Head::Open;
        }
        self.left += STREAM;
        self.read = 0;
    }
}

/// Whether a server that has read nothing yet greets so as one that speaks HTTP/2 and nothing else.
pub(crate) fn begins_with_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, SETTINGS, _, 0, 0, 0, 0, ..])
}

/// Whether a connection speaks HTTP/2, and then what has been read of it: one word, which others may
/// look at, as those that idle by the thousand have no room for more.
#[derive(Debug, Default)]
pub(crate) struct Http2(AtomicU64);

const SPOKEN: u64 = 1 << 63;
/// Its peer has said something, or taken what was held up, since it was told that the connection ends.
const HEARD: u64 = 1 << 62;
/// The socket takes no more of what is to go out.
const STUCK: u64 = 1 << 61;

impl Http2 {
    pub(crate) fn is_spoken(&self) -> bool {
        self.0.load(SeqCst) & SPOKEN != 0
    }

    /// None have been read while it is not spoken.
    pub(crate) fn frames(&self) -> Frames {
        let word = self.0.load(SeqCst);
        let [a, b, c, d, kind, read, head, _] = word.to_le_bytes();
        Frames {
            left: u32::from_le_bytes([a, b, c, d]),
            kind,
            read,
            last: head & 4 != 0,
            head: match head & 3 {
                0 => Head::None,
                1 => Head::Open,
                _ => Head::Whole,
            },
        }
    }

    /// That its peer was told to end and has let its `PING` go unanswered, with nothing on its way out.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.load(SeqCst) & (HEARD | STUCK) == 0
    }

    pub(crate) fn is_heard(&self) {
        self.0.fetch_or(HEARD, SeqCst);
    }

    /// Says whether that is news.
    pub(crate) fn is_stuck(&self, stuck: bool) -> bool {
        let was = self.0.load(SeqCst) & STUCK != 0;
        match (was, stuck) {
            (false, true) => self.0.fetch_or(STUCK, SeqCst),
            (true, false) => self.0.fetch_and(!STUCK, SeqCst),
            _ => return false,
        };
        true
    }

    /// Who reads the connection is the only one who says so.
    pub(crate) fn is_spoken_with(&self, frames: Frames) {
        let [a, b, c, d] = frames.left.to_le_bytes();
        let head = frames.head as u8 | u8::from(frames.last) << 2;
        let word = u64::from_le_bytes([a, b, c, d, frames.kind, frames.read, head, 0]);
        let kept = self.0.load(SeqCst) & (HEARD | STUCK);
        self.0.store(word | kept | SPOKEN, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    const PING: &[u8] = &[0, 0, 8, 6, 4, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

    /// What is said of it, and whether a head has begun, after each byte of it.
    fn told(bytes: &[u8]) -> Vec<(bool, bool)> {
        let mut frames = Frames::default();
        let each = bytes.iter().map(|byte| {
            frames.read(&[*byte]);
            let word = Http2::default();
            assert!(!word.is_spoken());
            word.is_spoken_with(frames);
            assert_eq!((word.is_spoken(), word.frames()), (true, frames));
            word.is_heard();
            let news = [true, true, false, false, true].map(|stuck| word.is_stuck(stuck));
            assert_eq!(news, [true, false, true, false, true]);
            assert_eq!(word.frames(), frames);
            (frames.has_asked(), frames.in_head())
        });
        each.collect()
    }

    #[test]
    fn who_has_said_no_more_than_hello_has_asked_for_nothing() {
        let hello = [HELLO, PING, HELLO].concat();
        let mut frames = Frames::default();
        frames.read(&hello);
        assert_eq!((frames.has_asked(), frames.in_head()), (false, false));
        // In the middle of a frame it may be a head for four bytes.
        let may_be = told(&hello).iter().filter(|(_, head)| *head).count();
        assert_eq!(may_be, 3 * usize::from(KIND));
        assert!(told(&hello).iter().all(|(asked, _)| !asked));
    }

    #[test]
    fn a_head_is_whole_with_the_last_byte_of_its_last_frame() {
        let whole = [0, 0, 3, HEADERS, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];
        let first = [0, 0, 1, HEADERS, 1, 0, 0, 0, 1, 0x82];
        let more = [0, 0, 1, CONTINUATION, 0, 0, 0, 0, 1, 0x84];
        let last = [0, 0, 0, CONTINUATION, 4, 0, 0, 0, 1];
        for head in [&whole[..], &[&first[..], &more, &last].concat()] {
            let bytes = [HELLO, head].concat();
            let begins = bytes.len() - head.len();
            let told = told(&bytes);
            let (end, before) = told.split_last().expect("bytes");
            assert_eq!(*end, (true, false));
            assert!(before.iter().all(|(asked, _)| !asked));
            assert!(before[begins..].iter().all(|(_, head)| *head));
            for cut in 0..bytes.len() {
                let (a, b) = bytes.split_at(cut);
                let mut frames = Frames::default();
                frames.read(a);
                frames.read(b);
                assert!(frames.has_asked(), "cut at {cut}");
                // Nothing is looked at any more.
                let before = frames;
                frames.read(&whole[..4]);
                assert_eq!(frames, before);
            }
        }
    }
}
