//! The one escaper: everything user-written that lands in a unit file goes through here.
//!
//! systemd.syntax(7): `%` starts a specifier, backslashes and quotes group words, a newline ends the assignment. `$` means
//! something when a command line is run only, so that it is none of a file's business.

/// A value that systemd reads up to the end of the line and expands specifiers in (Description=).
pub(super) fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .replace('%', "%%")
}

/// One word of a list or a command line, quoted so that it comes back byte for byte.
pub(super) fn word(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'%' => out.push_str("%%"),
            0x20..=0x7e => out.push(char::from(byte)),
            // Bytes of UTF-8 sequences go as they are escaped: systemd puts them together again.
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_line_or_the_word() {
        let wild = "a\"b\\c%d$e\nExecStartPre=/x\tä\u{1}'";
        let escaped = word(wild);
        assert!(!escaped.contains('\n'));
        assert_eq!(
            escaped,
            r#""a\"b\\c%%d$e\x0aExecStartPre=/x\x09\xc3\xa4\x01'""#
        );
        assert_eq!(line("100%\nX=y"), "100%% X=y");
    }
}
