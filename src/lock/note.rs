//! What a claim says of itself to operators.
//!
//! Floor 1.

use std::fmt;
use std::sync::Arc;

/// What stands for a word that is not told.
const NOTHING: &str = "-";

/// The name of the locks, the route and the request for which a key is claimed: for operators, who
/// find it in [`Holder`](crate::lock::Holder), and for nobody else.
///
/// What came from outside cannot become anything else in there: every byte that is not a visible
/// ASCII character is a `_`, and each word has a bound of 64 bytes, the route of 128. Nothing but
/// the first letters of what is longer is kept.
///
/// ```
/// use tower_handoff::lock::Note;
///
/// let note = Note::new(Some("pay"), Some("/orders/{id}/pay"), Some(b"7f3c 9"));
/// assert_eq!(note.as_str(), "pay /orders/{id}/pay 7f3c_9");
/// assert_eq!(note.route(), Some("/orders/{id}/pay"));
/// assert_eq!(Note::read(note.as_str().as_bytes()), note);
/// assert_eq!(Note::new(None, None, None), Note::default());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Note(Option<Arc<str>>);

impl Note {
    /// How long the name and the request's id may be.
    const WORD: usize = 64;
    /// How long the route may be.
    const ROUTE: usize = 128;
    const ALL: usize = 2 * Self::WORD + Self::ROUTE + 2;

    /// A note of these; none of them is none. One allocation, where there is something to note.
    #[must_use]
    pub fn new(name: Option<&str>, route: Option<&str>, request_id: Option<&[u8]>) -> Self {
        let words = [
            (name.map(str::as_bytes), Self::WORD),
            (route.map(str::as_bytes), Self::ROUTE),
            (request_id, Self::WORD),
        ];
        let told = |word: &(Option<&[u8]>, usize)| word.0.is_some_and(|word| !word.is_empty());
        let Some(last) = words.iter().rposition(told) else {
            return Self::default();
        };
        let mut text = [b' '; Self::ALL];
        let mut end = 0;
        for (at, word) in words.iter().enumerate().take(last + 1) {
            end += usize::from(at > 0);
            let (word, most) = (word.0.filter(|_| told(word)), word.1);
            for byte in word.unwrap_or(NOTHING.as_bytes()).iter().take(most) {
                text[end] = if byte.is_ascii_graphic() { *byte } else { b'_' };
                end += 1;
            }
        }
        Self(std::str::from_utf8(&text[..end]).ok().map(Arc::from))
    }

    /// What [`as_str`](Self::as_str) wrote, in this version or a later one: what that one adds is
    /// left out.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        let mut words = text.split(|byte| *byte == b' ').map(|word| {
            let told = !word.is_empty() && word != NOTHING.as_bytes();
            told.then_some(word)
        });
        let mut text = || {
            words
                .next()?
                .and_then(|word| std::str::from_utf8(word).ok())
        };
        let (name, route) = (text(), text());
        Self::new(name, route, words.next().flatten())
    }

    /// Name, route and request, with a space in between and `-` for what is not told; empty where
    /// nothing is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// What the layer or the handle is [named](crate::lock::LockLayer::with_name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.word(0)
    }

    /// The pattern of the route that the request matched, not its path.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.word(1)
    }

    /// What the request's header said: the client's word, or a proxy's.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.word(2)
    }

    fn word(&self, at: usize) -> Option<&str> {
        let word = self.as_str().split(' ').nth(at)?;
        Some(word).filter(|word| !word.is_empty() && *word != NOTHING)
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_more_than_a_bounded_word() {
        let evil = b"\r\nx y\0\x1b[31m\xff-and-so-on";
        let note = Note::new(None, None, Some(evil));
        assert_eq!(note.as_str(), "- - __x_y__[31m_-and-so-on");
        let long = "\u{e9}".repeat(1_000);
        let note = Note::new(Some(&long), Some(&long), Some(long.as_bytes()));
        assert_eq!(note.as_str().len(), Note::ALL);
        assert_eq!(note.route().map(str::len), Some(128));
        assert_eq!(Note::read(note.as_str().as_bytes()), note);
    }

    #[test]
    fn what_is_not_told_is_none_and_what_is_added_later_is_left_out() {
        let note = Note::new(Some(""), Some("/a"), Some(b""));
        assert_eq!(note.as_str(), "- /a");
        assert_eq!((note.name(), note.request_id()), (None, None));
        assert_eq!(Note::read(b"- /a - later more"), note);
        for nothing in [&b""[..], b" ", b"-", b"- -", b"- - -", b"- - - later"] {
            assert_eq!(Note::read(nothing), Note::default());
        }
        assert_eq!(Note::read(b"a \xff c").as_str(), "a - c");
    }
}
