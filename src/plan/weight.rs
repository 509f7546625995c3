//! Weights of cgroup version 1, which Podman's flags have, as those of version 2: straight lines, as the runtimes draw
//! them, so that unit and payload get the same.

/// `--cpu-shares` (2 to 262144) as `cpu.weight` (1 to 10000).
pub(super) fn of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// `--blkio-weight` (10 to 1000) as `io.weight` (1 to 10000).
pub(super) fn of_blkio(weight: u64) -> u64 {
    1 + (weight.clamp(10, 1000) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_meet() {
        assert_eq!((of_shares(2), of_shares(262_144)), (1, 10_000));
        assert_eq!((of_shares(0), of_shares(1024)), (1, 39));
        assert_eq!((of_blkio(10), of_blkio(1000)), (1, 10_000));
    }
}
