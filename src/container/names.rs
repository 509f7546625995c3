//! Names for containers whose makers gave none.

use crate::types::ContainerName;

const FIRST: [&str; 32] = [
    "amber", "azure", "bold", "brisk", "calm", "clear", "coral", "crisp", "dusky", "early",
    "fleet", "frosty", "gentle", "golden", "hardy", "hazel", "ivory", "jade", "keen", "light",
    "lunar", "mellow", "misty", "noble", "quiet", "rapid", "ruby", "silver", "solid", "sunny",
    "tidal", "vivid",
];
const SECOND: [&str; 32] = [
    "alder", "badger", "beacon", "birch", "canyon", "cedar", "comet", "crane", "delta", "ember",
    "falcon", "fjord", "garnet", "glacier", "harbor", "heron", "island", "juniper", "lagoon",
    "lark", "maple", "meadow", "otter", "pebble", "plover", "prairie", "quartz", "raven", "reef",
    "spruce", "tundra", "willow",
];

/// A name of two words; from the third try on with a number, so that it ends.
pub(super) fn made_up(random: [u8; 4], attempt: u32) -> ContainerName {
    let first = FIRST[usize::from(random[0]) % FIRST.len()];
    let second = SECOND[usize::from(random[1]) % SECOND.len()];
    let name = if attempt < 2 {
        format!("{first}_{second}")
    } else {
        let number = u16::from_be_bytes([random[2], random[3]]);
        format!("{first}_{second}{number}")
    };
    name.parse()
        .expect("letters, an underscore and digits are a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_made_up_is_a_name() {
        for byte in 0..=255 {
            made_up([byte, byte, byte, byte], 0);
        }
        assert_eq!(made_up([0, 1, 1, 0], 2).as_str(), "amber_badger256");
    }
}
