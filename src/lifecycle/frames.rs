//! Whether a peer on HTTP/2 has asked for anything yet.
//!
//! Floor 1.

/// Read from what the peer sends until the head of its first request is whole, and no further: of a
/// frame only what it is, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Of the frame that has begun: its length, while that is read, and then what is left of it.
    left: u32,
    kind: u8,
    /// How much of the preface has been read, and behind it, of what a frame begins with.
    read: u8,
    /// The frame that has begun is the last one of a head.
    last: bool,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    None,
    /// It has begun.
    Open,
    Whole,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What has been read when a frame begins.
const BEGINS: u8 = PREFACE.len() as u8;
/// Three bytes of length, the kind, and the flags. Behind them comes the stream's number.
const LENGTH: u8 = BEGINS + 3;
const KIND: u8 = LENGTH + 1;
const STREAM: u32 = 4;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Frames {
    /// So many bytes of the preface have been read.
    pub(crate) fn after(preface: u8) -> Self {
        Self {
            left: 0,
            kind: 0,
            read: preface,
            last: false,
            head: Head::None,
        }
    }

    /// The head of a request has been read whole; or this is something else than HTTP/2.
    pub(crate) fn has_asked(&self) -> bool {
        self.head == Head::Whole
    }

    /// A head has begun and is not whole, or a frame has of which nobody can say yet what it is.
    pub(crate) fn in_head(&self) -> bool {
        match self.head {
            Head::None => self.read > BEGINS,
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
            if self.read == BEGINS && self.left > 0 {
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
                ..BEGINS if byte != PREFACE[usize::from(self.read)] => self.head = Head::Whole,
                BEGINS..LENGTH => self.left = self.left << 8 | u32::from(byte),
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
        self.read = BEGINS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: &[u8] = &[0, 0, 8, 6, 4, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

    fn preface_and(frames: &[&[u8]]) -> Vec<u8> {
        [PREFACE, &frames.concat()].concat()
    }

    /// What is said of it, and whether a head has begun, after each byte of it.
    fn told(bytes: &[u8]) -> Vec<(bool, bool)> {
        let mut frames = Frames::after(0);
        let each = bytes.iter().map(|byte| {
            frames.read(&[*byte]);
            (frames.has_asked(), frames.in_head())
        });
        each.collect()
    }

    #[test]
    fn who_has_said_no_more_than_hello_has_asked_for_nothing() {
        let hello = preface_and(&[SETTINGS, PING, SETTINGS]);
        let mut frames = Frames::after(0);
        frames.read(&hello);
        assert_eq!((frames.has_asked(), frames.in_head()), (false, false));
        // In the middle of a frame it may be a head for four bytes.
        let may_be = told(&hello).iter().filter(|(_, head)| *head).count();
        assert_eq!(may_be, 3 * usize::from(KIND - BEGINS));
        assert!(told(&hello).iter().all(|(asked, _)| !asked));
    }

    #[test]
    fn a_head_is_whole_with_the_last_byte_of_its_last_frame() {
        let whole = [0, 0, 3, HEADERS, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];
        let first = [0, 0, 1, HEADERS, 1, 0, 0, 0, 1, 0x82];
        let more = [0, 0, 1, CONTINUATION, 0, 0, 0, 0, 1, 0x84];
        let last = [0, 0, 0, CONTINUATION, 4, 0, 0, 0, 1];
        for head in [&whole[..], &[&first[..], &more, &last].concat()] {
            let bytes = preface_and(&[SETTINGS, head]);
            let begins = bytes.len() - head.len();
            let told = told(&bytes);
            let (end, before) = told.split_last().expect("bytes");
            assert_eq!(*end, (true, false));
            assert!(before.iter().all(|(asked, _)| !asked));
            assert!(before[begins..].iter().all(|(_, head)| *head));
            for cut in 0..bytes.len() {
                let (a, b) = bytes.split_at(cut);
                let mut frames = Frames::after(0);
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

    #[test]
    fn what_was_read_of_the_preface_is_not_read_again() {
        let bytes = preface_and(&[SETTINGS]);
        for read in 0..3 {
            let mut frames = Frames::after(read);
            // All but the stream's number.
            frames.read(&bytes[usize::from(read)..bytes.len() - STREAM as usize]);
            let between = (frames.read, frames.left - STREAM);
            assert_eq!(between, (BEGINS, 0));
            assert!(!frames.has_asked() && !frames.in_head());
        }
    }

    #[test]
    fn what_only_begins_as_http2_does_is_a_request_like_any_other() {
        let mut frames = Frames::after(0);
        frames.read(b"PRI /");
        assert!(frames.has_asked());
    }
}
