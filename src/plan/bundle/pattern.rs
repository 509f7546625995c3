//! Patterns of paths as glob(7) has them, where `*` and `?` stop at a slash.

/// Whether a path is one that the pattern means. A malformed pattern means none.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let path: Vec<char> = path.chars().collect();
    from(&pattern, &path)
}

fn from(pattern: &[char], path: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return path.is_empty();
    };
    let here = path.first();
    match first {
        '*' => {
            let limit = path.iter().position(|c| *c == '/').unwrap_or(path.len());
            (0..=limit).any(|at| from(rest, &path[at..]))
        }
        '?' => here.is_some_and(|c| *c != '/') && from(rest, &path[1..]),
        '[' => match (class(rest), here) {
            (Some((class, rest)), Some(c)) => class.has(*c) && from(rest, &path[1..]),
            _ => false,
        },
        '\\' => match rest.split_first() {
            Some((literal, rest)) => here == Some(literal) && from(rest, &path[1..]),
            None => false,
        },
        literal => here == Some(literal) && from(rest, &path[1..]),
    }
}

/// What stands between brackets.
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, c: char) -> bool {
        let inside = self
            .ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&c));
        c != '/' && inside != self.negated
    }
}

fn class(text: &[char]) -> Option<(Class, &[char])> {
    let negated = matches!(text.first(), Some('^' | '!'));
    let mut rest = if negated { &text[1..] } else { text };
    let mut ranges = Vec::new();
    loop {
        match rest {
            [']', after @ ..] if !ranges.is_empty() => {
                return Some((Class { negated, ranges }, after));
            }
            [low, '-', high, after @ ..] if *high != ']' => {
                ranges.push((*low, *high));
                rest = after;
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                rest = after;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_does_not_cross_a_slash() {
        for (pattern, path, expected) in [
            ("/proc/*", "/proc/acpi", true),
            ("/proc/*", "/proc/fs/x", false),
            ("/*/acpi", "/proc/acpi", true),
            ("/proc/a?pi", "/proc/acpi", true),
            ("/proc?acpi", "/proc/acpi", false),
            ("/proc/[a-c]cpi", "/proc/acpi", true),
            ("/proc/[^a]cpi", "/proc/acpi", false),
            ("/proc/\\acpi", "/proc/acpi", true),
            ("/proc/[a", "/proc/a", false),
            ("/proc", "/proc/acpi", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
