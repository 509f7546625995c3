//! Words of a value: quotes and escapes of systemd.syntax(7).

/// Splits a value at white space; quotes group, and C escapes are resolved.
///
/// # Errors
/// An escape that systemd does not know, an open quote, or bytes that are no text, with the column in the value.
pub fn split(value: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut at = 0;
    while let Some(c) = value[at..].chars().next() {
        let mut next = at + c.len_utf8();
        match (c, quote) {
            ('\\', _) => {
                let taken = escape(&value[next..]).ok_or_else(|| unknown(value, at))?;
                word.get_or_insert_default().extend(taken.0);
                next += taken.1;
            }
            (c, Some((open, _))) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some((c, at));
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => words.extend(word.take()),
            (c, _) => {
                let bytes = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
                word.get_or_insert_default().extend(bytes);
            }
        }
        at = next;
    }
    if let Some((open, at)) = quote {
        return Err(format!("{open} at column {} is never closed", at + 1));
    }
    words.extend(word);
    let text = |bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8 once unescaped".to_owned());
    words.into_iter().map(text).collect()
}

/// Quotes a text so that [`split`] gives it back as one word.
pub fn word(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let bytes = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
                out.extend(bytes.iter().map(|byte| format!("\\x{byte:02x}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn unknown(value: &str, at: usize) -> String {
    let shown: String = value[at..].chars().take(2).collect();
    format!(
        "unknown escape {shown} at column {} (a backslash is written \\\\)",
        at + 1
    )
}

/// What stands behind a backslash: its bytes, and how long it is.
fn escape(text: &str) -> Option<(Vec<u8>, usize)> {
    let byte = match *text.as_bytes().first()? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b's' => b' ',
        same @ (b'\\' | b'"' | b'\'') => same,
        b'x' => return byte(text, 1, 2, 16),
        b'0'..=b'7' => return byte(text, 0, 3, 8),
        b'u' => return character(text, 4),
        b'U' => return character(text, 8),
        _ => return None,
    };
    Some((vec![byte], 1))
}

fn byte(text: &str, from: usize, digits: usize, radix: u32) -> Option<(Vec<u8>, usize)> {
    let byte = u8::from_str_radix(plain(text.get(from..from + digits)?)?, radix).ok()?;
    (byte != 0).then(|| (vec![byte], from + digits))
}

/// Digits without the sign that `from_str_radix` would take.
fn plain(digits: &str) -> Option<&str> {
    (!digits.starts_with('+')).then_some(digits)
}

fn character(text: &str, digits: usize) -> Option<(Vec<u8>, usize)> {
    let number = u32::from_str_radix(plain(text.get(1..1 + digits)?)?, 16).ok()?;
    let c = char::from_u32(number).filter(|c| *c != '\0')?;
    Some((c.to_string().into_bytes(), 1 + digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_systemds() {
        let cases: &[(&str, &[&str])] = &[
            ("a  b\tc", &["a", "b", "c"]),
            (r#""a b" 'c "d"'"#, &["a b", "c \"d\""]),
            (r#"a"b c"d"#, &["ab cd"]),
            (r#""" x"#, &["", "x"]),
            (r"a\sb\x41\u00e4\101\n", &["a bAäA\n"]),
            (r"\xc3\xa4", &["ä"]),
            ("", &[]),
        ];
        for (value, expected) in cases {
            assert_eq!(split(value).unwrap(), *expected, "{value}");
        }
    }

    #[test]
    fn what_systemd_would_refuse_is_refused_with_its_column() {
        for (value, part) in [
            (r"test\.com", r"\. at column 5"),
            ("a 'b", "' at column 3"),
            (r"a\", "column 2"),
            (r"\x00", "column 1"),
            (r"\u+0ff", "column 1"),
            (r"\xff", "not UTF-8"),
        ] {
            let error = split(value).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(text in "[^\0]*") {
            prop_assert_eq!(split(&word(&text)).unwrap(), [text]);
        }
    }
}
