//! Text that can stand in a field of a unit's journal entries.

/// Whether systemd takes this character in LogExtraFields= and a table shows it in its line: no control character, and
/// none of the 66 noncharacters of Unicode (U+FDD0 to U+FDEF, and the last two of each plane), which systemd refuses.
pub fn fits_journal(c: char) -> bool {
    let code = u32::from(c);
    let noncharacter = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
    !c.is_control() && !noncharacter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noncharacters_and_control_characters_do_not_fit() {
        assert!(
            ['a', '\u{fdcf}', '\u{fffd}', '\u{1f980}']
                .iter()
                .all(|c| fits_journal(*c))
        );
        assert!(
            ['\n', '\u{fdd0}', '\u{fffe}', '\u{10ffff}']
                .iter()
                .all(|c| !fits_journal(*c))
        );
    }
}
