//! A token's secret in every form in which it could slip out, searched for in bytes of any kind.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// In front of the secret in a token: the public selector.
const SELECTOR: usize = 16;
/// What the search looks at first: its length, and how many of its hashes there can be.
const WINDOW: usize = 8;
const BUCKETS: usize = 1 << 22;

/// The two halves of a token, which say nothing about one another.
pub(super) fn halves(token: &str) -> (Vec<u8>, Vec<u8>) {
    let raw = URL_SAFE_NO_PAD
        .decode(&token[1..])
        .expect("a token of format 1");
    let (selector, verifier) = raw.split_at(SELECTOR);
    (selector.to_vec(), verifier.to_vec())
}

/// What Redis may hold of the secret.
pub(super) fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(halves(token).1).to_vec()
}

/// Every way in which the secret could be written.
pub(super) fn forms(token: &str) -> Vec<Vec<u8>> {
    let secret = halves(token).1;
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let mut forms = vec![
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        list.trim_matches(['[', ']']).replace(' ', "").into_bytes(),
        list.trim_matches(['[', ']']).as_bytes().to_vec(),
        format!("{:?}", bytes::Bytes::copy_from_slice(&secret)).as_bytes()[2..].to_vec(),
        secret.escape_ascii().to_string().into_bytes(),
        as_redis_shows(&secret),
        String::from_utf8_lossy(&secret).into_owned().into_bytes(),
        format!("{:?}", String::from_utf8_lossy(&secret))
            .trim_matches('"')
            .as_bytes()
            .to_vec(),
    ];
    // Base64 of anything that the secret is a part of: three ways to begin, at every third byte.
    for before in 0..3 {
        let bytes = [&vec![0; before], &*secret].concat();
        for engine in [&URL_SAFE_NO_PAD, &STANDARD_NO_PAD] {
            let text = engine.encode(&bytes).into_bytes();
            // A character that holds bits of a neighbour is left out.
            let end = text.len() - usize::from(bytes.len() % 3 != 0);
            forms.push(text[[0, 2, 3][before]..end].to_vec());
        }
    }
    forms.push(secret);
    forms.sort();
    forms.dedup();
    forms
}

/// As `MONITOR` shows what it is given.
fn as_redis_shows(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    for &byte in bytes {
        match byte {
            7 => shown.extend(b"\\a"),
            8 => shown.extend(b"\\b"),
            b'\'' => shown.push(byte),
            _ => shown.extend(std::ascii::escape_default(byte)),
        }
    }
    shown
}

/// Many patterns at once, each with a name.
pub(super) struct Search<T> {
    buckets: Vec<u64>,
    patterns: HashMap<u64, Vec<(Vec<u8>, T)>>,
}

impl<T: Copy> Search<T> {
    pub(super) fn new(patterns: impl Iterator<Item = (Vec<u8>, T)>) -> Self {
        let mut search = Self {
            buckets: vec![0; BUCKETS / 64],
            patterns: HashMap::new(),
        };
        for (pattern, name) in patterns {
            let window = *pattern
                .first_chunk()
                .expect("long enough to be no accident");
            let window = u64::from_le_bytes(window);
            let bucket = bucket(window);
            search.buckets[bucket / 64] |= 1 << (bucket % 64);
            search
                .patterns
                .entry(window)
                .or_default()
                .push((pattern, name));
        }
        search
    }

    /// The names of the patterns in these bytes, and where they begin.
    pub(super) fn hits(&self, bytes: &[u8]) -> Vec<(T, usize)> {
        let mut hits = Vec::new();
        let Some((first, rest)) = bytes.split_first_chunk::<WINDOW>() else {
            return hits;
        };
        let mut window = u64::from_le_bytes(*first);
        let mut at = 0;
        loop {
            let bucket = bucket(window);
            if self.buckets[bucket / 64] & (1 << (bucket % 64)) != 0 {
                let found = self.patterns.get(&window).into_iter().flatten();
                let found = found.filter(|(pattern, _)| bytes[at..].starts_with(pattern));
                hits.extend(found.map(|(_, name)| (*name, at)));
            }
            let Some(&next) = rest.get(at) else {
                return hits;
            };
            window = (window >> 8) | (u64::from(next) << 56);
            at += 1;
        }
    }
}

fn bucket(window: u64) -> usize {
    (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 42) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that every way of writing treats differently.
    fn token() -> (String, Vec<u8>) {
        let secret = b"\x00\x07\x08\t\n\r\"'\\a~\x7f\x80\xc3\xa4\xff\xfe{},; =&".to_vec();
        assert_eq!(secret.len(), 24);
        let raw = [&[3; SELECTOR], &*secret].concat();
        (format!("1{}", URL_SAFE_NO_PAD.encode(raw)), secret)
    }

    fn hits(text: &[u8]) -> usize {
        let (token, _) = token();
        let search = Search::new(forms(&token).into_iter().map(|form| (form, "it")));
        search.hits(text).len()
    }

    #[test]
    fn every_way_of_writing_a_secret_is_found() {
        let (token, secret) = token();
        let lossy = String::from_utf8_lossy(&secret).into_owned();
        for text in [
            token.clone().into_bytes(),
            token.replace('-', "+").replace('_', "/").into_bytes(),
            secret.clone(),
            format!("{secret:?}").into_bytes(),
            format!("{secret:02x?}")
                .replace([',', ' '], "")
                .into_bytes(),
            format!("{secret:02X?}")
                .replace([',', ' '], "")
                .into_bytes(),
            serde_json::to_vec(&secret).expect("numbers"),
            secret.escape_ascii().to_string().into_bytes(),
            format!("{:?}", bytes::Bytes::from(secret.clone())).into_bytes(),
            format!("{lossy:?}").into_bytes(),
            lossy.clone().into_bytes(),
            b"\"\\x00\\a\\b\\t\\n\\r\\\"'\\\\a~\\x7f\\x80\\xc3\\xa4\\xff\\xfe{},; =&\"".to_vec(),
        ] {
            let around = [b"[10:00] x=\"", &*text, b"\" and on"].concat();
            let shown = String::from_utf8_lossy(&text);
            assert!(hits(&around) > 0, "{shown}");
            assert!(hits(&text) > 0, "{shown}");
            assert_eq!(hits(&text[..text.len() / 2]), 0, "{shown}: half of it");
        }
        for before in 0..4 {
            for after in 0..4 {
                let bytes = [&vec![9; before], &*secret, &vec![9; after]].concat();
                assert!(hits(URL_SAFE_NO_PAD.encode(&bytes).as_bytes()) > 0);
                assert!(hits(STANDARD_NO_PAD.encode(&bytes).as_bytes()) > 0);
            }
        }
    }

    #[test]
    fn what_may_be_known_is_no_hit() {
        let (token, secret) = token();
        let (selector, verifier) = halves(&token);
        assert_eq!(verifier, secret);
        for text in [
            selector,
            token.as_bytes()[..22].to_vec(),
            digest(&token),
            b"short".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(hits(&text), 0);
        }
    }
}
