//! How much an image may cost before it is refused.

/// Limits of one layer or archive, against bombs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of one layer.
    pub entries: u64,
    /// Bytes of one layer or archive once unpacked, whatever its compressed size.
    pub bytes: u64,
    /// Unpacked bytes per compressed byte.
    pub ratio: u64,
    /// Unpacked bytes up to which the ratio is not looked at.
    pub free: u64,
}

impl Default for Limits {
    /// Layers of real images unpack to 2-5 times their size, and hold at most some 100,000 files.
    fn default() -> Self {
        Limits {
            entries: 2_000_000,
            bytes: 64 << 30,
            ratio: 200,
            free: 256 << 20,
        }
    }
}

impl Limits {
    /// What this many compressed bytes may unpack to.
    pub(super) fn content(&self, compressed: u64) -> u64 {
        let by_ratio = compressed.saturating_mul(self.ratio).max(self.free);
        by_ratio.min(self.bytes)
    }
}
