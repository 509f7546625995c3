//! What systemd would make of a value in a command line, where Quadlet puts it: specifiers and variables.

use super::Specifiers;

/// Expands values; the environment is known when a unit starts only.
#[derive(Clone, Debug)]
pub struct Expander<'a> {
    /// Specifiers of the unit.
    pub specifiers: &'a Specifiers,
    /// The unit's environment; none before it starts.
    pub environment: Option<&'a [(String, String)]>,
}

impl Expander<'_> {
    /// A value as a whole; none: it is known when the unit starts only.
    pub fn value(&self, text: &str) -> Option<String> {
        let text = self.specifiers.expand(text)?;
        match whole_variable(&text) {
            Some(name) => Some(self.variable(name)?.to_owned()),
            None => self.variables(&text),
        }
    }

    /// The words of a list; a word that is a variable alone is split again (systemd.service(5), "Command lines").
    pub fn words(&self, words: Vec<String>) -> Option<Vec<String>> {
        let mut expanded = Vec::with_capacity(words.len());
        for word in words {
            let word = self.specifiers.expand(&word)?;
            match whole_variable(&word) {
                Some(name) => {
                    let value = self.variable(name)?;
                    expanded.extend(value.split_ascii_whitespace().map(str::to_owned));
                }
                None => expanded.push(self.variables(&word)?),
            }
        }
        Some(expanded)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let all = self.environment?;
        let found = all.iter().rev().find(|(own, _)| own == name);
        Some(found.map_or("", |(_, value)| value))
    }

    /// `${NAME}` anywhere, and `$$`.
    fn variables(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            let braced = behind
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'));
            if let Some(behind) = behind.strip_prefix('$') {
                out.push('$');
                rest = behind;
            } else if let Some((name, behind)) = braced.filter(|(name, _)| is_name(name)) {
                out.push_str(self.variable(name)?);
                rest = behind;
            } else {
                out.push('$');
                rest = behind;
            }
        }
        out.push_str(rest);
        Some(out)
    }
}

fn whole_variable(text: &str) -> Option<&str> {
    text.strip_prefix('$').filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_in_a_command_line() {
        let specifiers = Specifiers::default();
        let environment = [("A".to_owned(), "x y".to_owned())];
        let expander = Expander {
            specifiers: &specifiers,
            environment: Some(&environment),
        };
        let words = ["$A", "${A}", "b$A", "$$A", "${B}", "$1", "Host(`a`)$"];
        let expected = ["x", "y", "x y", "b$A", "$A", "", "$1", "Host(`a`)$"];
        let words = words.map(str::to_owned).to_vec();
        assert_eq!(expander.words(words).unwrap(), expected);
        assert_eq!(expander.value("${A}:/x").unwrap(), "x y:/x");
        let later = Expander {
            environment: None,
            ..expander
        };
        assert_eq!(later.value("${A}:/x"), None);
        assert_eq!(later.value("$$ $ 5"), Some("$ $ 5".to_owned()));
    }
}
