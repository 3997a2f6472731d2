//! Numbers as scripts read them, without an allocation.
//!
//! Floor 0.

use std::ops::Deref;

/// A number's decimal digits.
#[derive(Clone, Copy)]
pub(super) struct Digits {
    /// As many as the largest has.
    all: [u8; 20],
    first: usize,
}

impl Digits {
    pub(super) fn of(number: u64) -> Self {
        Self::at_least(1, number)
    }

    /// As a value holds a fence: 16 digits.
    pub(super) fn of_fence(fence: u64) -> Self {
        Self::at_least(16, fence)
    }

    fn at_least(count: usize, number: u64) -> Self {
        let mut left = number;
        let mut all = [b'0'; 20];
        let mut first = all.len();
        while first > 0 && (left > 0 || all.len() - first < count) {
            first -= 1;
            all[first] = b"0123456789"[usize::try_from(left % 10).unwrap_or_default()];
            left /= 10;
        }
        Self { all, first }
    }
}

impl Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.all[self.first..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_formatting_says() {
        for number in [0, 7, 10, 86_401_000, 1_700_000_000_000_001, u64::MAX] {
            assert_eq!(*Digits::of(number), *number.to_string().as_bytes());
            let fence = format!("{number:016}");
            assert_eq!(*Digits::of_fence(number), *fence.as_bytes());
        }
    }
}
