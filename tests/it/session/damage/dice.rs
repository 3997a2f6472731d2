//! What is damaged, and how.

/// Xorshift: the same seed, the same damage.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// What disks, memory, other programs and other versions do to a record.
    pub(super) fn damaged(&mut self, record: &[u8]) -> Vec<u8> {
        let mut bytes = record.to_vec();
        match self.below(10) {
            0..3 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            3 => bytes.truncate(self.below(record.len())),
            4 => bytes.extend((0..=self.below(40)).map(|_| self.below(256) as u8)),
            // A time: never, the last that Lua counts, the first that it does not, for ever.
            5 | 6 => {
                let at = 73 + 8 * self.below(5);
                let time = [0, 1, 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX][self.below(6)];
                bytes[at..at + 8].copy_from_slice(&time.to_be_bytes());
            }
            // A length of the head, or whatever stands after it.
            7 | 8 => {
                let at = 113 + self.below(bytes.len() - 113);
                let end = bytes.len().min(at + 1 + self.below(4));
                bytes[at..end].fill([0, 1, 0x7f, 0x80, 0xc3, 0xff][self.below(6)]);
            }
            _ => bytes[0] = self.below(256) as u8,
        }
        bytes
    }
}
