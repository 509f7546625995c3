//! Specifiers: `%i` and the like (systemd.unit(5), "Specifiers").

use std::path::Path;

/// What stands for the instance of a template until there is one: it may be part of a container's name.
pub const INSTANCE: &str = "UNITBOX-INSTANCE";

/// What each specifier becomes; none: that is known when an instance starts only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Specifiers(Vec<(char, Option<String>)>);

impl Specifiers {
    /// Those of the host, without those of a unit.
    pub fn new(host: impl IntoIterator<Item = (char, String)>) -> Self {
        Self(
            host.into_iter()
                .map(|(c, value)| (c, Some(value)))
                .collect(),
        )
    }

    /// Adds those of a unit; `name` has the suffix `.service`.
    pub fn of_unit(&self, name: &str, source: &Path) -> Self {
        let stem = name.strip_suffix(".service").unwrap_or(name);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        let template = is_template(name);
        let last = prefix.rsplit('-').next().unwrap_or(prefix);
        let known = |text: String| (!template).then_some(text);
        let file = match instance {
            "" => format!("/{}", unescape(prefix)),
            instance => format!("/{}", unescape(instance).trim_start_matches('/')),
        };
        let source = source.display().to_string();
        let of_unit = [
            ('n', known(name.to_owned())),
            ('N', known(stem.to_owned())),
            ('p', Some(prefix.to_owned())),
            ('P', Some(unescape(prefix))),
            ('j', Some(last.to_owned())),
            ('J', Some(unescape(last))),
            ('i', known(instance.to_owned())),
            ('I', known(unescape(instance))),
            ('f', known(file)),
            ('d', known(format!("/run/credentials/{name}"))),
            ('y', Some(source.clone())),
            (
                'Y',
                source
                    .rsplit_once('/')
                    .map(|(directory, _)| directory.to_owned()),
            ),
        ];
        // Those of another unit, if any, come behind and are not found.
        Self(of_unit.into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// Expands a text. What is no specifier stays as it is, as systemd has it; none: only an instance knows.
    pub fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            out.push_str(before);
            let Some(c) = behind.chars().next() else {
                out.push('%');
                return Some(out);
            };
            match self.0.iter().find(|(own, _)| *own == c) {
                Some((_, value)) => out.push_str(value.as_ref()?),
                None if c == '%' => out.push('%'),
                None => out.extend(['%', c]),
            }
            rest = &behind[c.len_utf8()..];
        }
        out.push_str(rest);
        Some(out)
    }
}

/// Whether a unit is a template, as in `web@.service`.
pub fn is_template(name: &str) -> bool {
    name.contains("@.")
}

/// Undoes the escapes of unit names: `-` is a slash, `\x2d` a dash (systemd-escape(1)).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let hex = (*first == b'\\')
            .then(|| behind.strip_prefix(b"x"))
            .flatten();
        let hex = hex.and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = &behind[3..];
            }
            None if *first == b'-' => out.push(b'/'),
            None => out.push(*first),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(unit: &str, text: &str) -> Option<String> {
        let host = Specifiers::new([('h', "/root".to_owned()), ('t', "/run".to_owned())]);
        host.of_unit(unit, Path::new("/etc/unitbox/web.container"))
            .expand(text)
    }

    #[test]
    fn specifiers_are_systemds() {
        let web = |text| expand("web.service", text).unwrap();
        assert_eq!(
            web("%n %N %p [%i] %h/x %t"),
            "web.service web web [] /root/x /run"
        );
        assert_eq!(web("%% %z 100%"), "% %z 100%");
        assert_eq!(web("%y %Y"), "/etc/unitbox/web.container /etc/unitbox");
        let of = |text| expand(r"my-app@a-b\x2dc.service", text).unwrap();
        assert_eq!(of("%p %P %j %i %I"), r"my-app my/app app a-b\x2dc a/b-c");
        assert_eq!(expand("web@.service", "x%p"), Some("xweb".to_owned()));
        assert_eq!(expand("web@.service", "x%i"), None);
    }
}
