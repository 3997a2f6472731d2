//! Bytes from the operating system's generator.
//!
//! Floor 0.

/// `N` bytes nobody can guess.
///
/// # Panics
/// When the operating system has no randomness to give: nothing safe can be done then.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives no random bytes");
    bytes
}

/// A number below `bound`, for jitter. Zero where `bound` is zero.
pub(crate) fn below(bound: u64) -> u64 {
    u64::from_le_bytes(bytes()).checked_rem(bound).unwrap_or(0)
}
