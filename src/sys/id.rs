//! Random bytes for ids and nonces.

use std::io;

use nix::libc;

use super::{check, retry};

/// `N` bytes of the kernel's random generator (getrandom(2)); blocks only before it is seeded,
/// early in boot.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut bytes[filled..];
        filled += retry(|| {
            // SAFETY: pointer and length describe `rest`, which outlives the call.
            check(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) } as i64)
        })? as usize;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_long_ones_are_filled() {
        assert_ne!(random_bytes::<32>().unwrap(), random_bytes::<32>().unwrap());
        let long = random_bytes::<1000>().unwrap();
        assert!(
            long.chunks(100)
                .all(|chunk| chunk.iter().any(|&byte| byte != 0))
        );
        assert!(random_bytes::<0>().unwrap().is_empty());
    }
}
