//! Errors in one line.

use std::error::Error;

/// An error and its causes, joined by `: `, each said once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn each_cause_is_said_once() {
        let inner = Said("no such\nfile", None);
        let middle = Said("open x: no such\nfile", Some(Box::new(inner)));
        let outer = Said("start", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "start: open x: no such file");
    }
}
