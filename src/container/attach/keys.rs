//! The keys that detach a client from a terminal.

/// A sequence of keys, and how much of it was pressed last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    sequence: Vec<u8>,
    /// What was pressed and may be its beginning.
    held: Vec<u8>,
}

/// Podman's, where nobody says otherwise.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

impl Keys {
    /// Reads `KEY[,KEY...]`: a character, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`. Empty: there are
    /// none.
    ///
    /// # Errors
    /// Which key there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.split(',').filter(|_| !text.is_empty());
        let sequence: Result<Vec<u8>, String> = words
            .map(|word| key(word).ok_or_else(|| format!("there is no key {word:?}")))
            .collect();
        Ok(Self {
            sequence: sequence?,
            held: Vec::new(),
        })
    }

    /// Takes what was typed: what of it is for the container, and whether the sequence is complete, which ends the rest.
    pub(super) fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.sequence.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            self.held.push(*byte);
            while !self.sequence.starts_with(&self.held) {
                out.push(self.held.remove(0));
            }
            if self.held.len() == self.sequence.len() {
                self.held.clear();
                return (out, true);
            }
        }
        (out, false)
    }
}

fn key(word: &str) -> Option<u8> {
    let one = |text: &str| match *text.as_bytes() {
        [byte] => Some(byte),
        _ => None,
    };
    match word.strip_prefix("ctrl-") {
        // The bits that the control key takes away (ASCII).
        Some(letter) => one(letter)
            .filter(|byte| {
                byte.is_ascii_lowercase()
                    || (b'@'..=b'_').contains(byte) && !byte.is_ascii_uppercase()
            })
            .map(|byte| byte & 0x1f),
        None => one(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    #[test]
    fn keys_have_podmans_names() {
        assert_eq!(keys(DEFAULT).sequence, [16, 17]);
        assert_eq!(
            keys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,ctrl-z,A,é".trim_end_matches(",é"))
                .sequence,
            [0, 27, 28, 29, 30, 31, 26, 65]
        );
        assert!(keys("").sequence.is_empty());
        for bad in [
            "ctrl-", "ctrl-A", "ctrl-1", "ab", "a,", "é", "ctrl-aa", ",", "ctrl-é",
        ] {
            assert!(Keys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_whole_sequence_detaches() {
        let mut one = keys("a,a,b");
        assert_eq!(one.take(b"xaa"), (b"x".to_vec(), false));
        assert_eq!(one.take(b"a"), (b"a".to_vec(), false));
        assert_eq!(one.take(b"c"), (b"aac".to_vec(), false));
        assert_eq!(one.take(b"aaab!"), (b"a".to_vec(), true));
        assert_eq!(keys("").take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    /// Whatever comes in which pieces: nothing is lost or changes its place.
    #[test]
    fn what_does_not_detach_arrives() {
        let typed: Vec<u8> = (0..4000_u32)
            .map(|n| [16, 17, 16, b'x'][(n.wrapping_mul(2_654_435_761) >> 30) as usize])
            .collect();
        for size in [1, 2, 3, 7] {
            let mut keys = keys("ctrl-p,ctrl-p,ctrl-q,q");
            let mut out = Vec::new();
            for piece in typed.chunks(size) {
                let (more, detached) = keys.take(piece);
                assert!(!detached);
                out.extend(more);
            }
            out.extend(&keys.held);
            assert_eq!(out, typed);
        }
    }
}
