//! The environment of the payload.

use super::{BundleFacts, hostname};
use crate::api::NOTIFY_SOCKET;
use crate::definition::{Definition, Options};
use crate::types::NotifyMode;

/// Where a payload that says itself when it is ready finds the directory of its socket.
pub const NOTIFY_DIRECTORY: &str = "/run/notify";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order in which they came; a later value of a name takes the place of the earlier one.
#[derive(Default)]
struct Env(Vec<(String, String)>);

impl Env {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn set_unless_there(&mut self, name: &str, value: impl Into<String>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    fn extend<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            self.set(name, value);
        }
    }
}

/// Our own, containers.conf(5), the image; less what is not wanted; the caller, the user; what must be there in the end.
pub(super) fn plan(definition: &Definition, facts: &BundleFacts, systemd: bool) -> Vec<String> {
    let options = &definition.options;
    let process = &options.process;
    let mut env = Env::default();
    env.set("PATH", PATH);
    // systemd.io's container interface: programs ask for it.
    env.set("container", "oci");
    if options.tty {
        env.set("TERM", "xterm");
    }
    env.extend(assignments(facts.conf.containers.env.values()));
    env.extend(assignments(&facts.image.env));
    for (name, template) in &process.env_merge {
        let value = expand(template, |name| env.get(name).unwrap_or("").to_owned());
        env.set(name, value);
    }
    if process.unset_env_all {
        env.0.clear();
    }
    env.0.retain(|(name, _)| !process.unset_env.contains(name));
    env.extend(borrowed(&process.host_env));
    env.extend(borrowed(&options.env));
    if systemd {
        env.set("container_uuid", &definition.id.as_str()[..32]);
    }
    if options.notify == Some(NotifyMode::Container) {
        env.set(
            "NOTIFY_SOCKET",
            format!("{NOTIFY_DIRECTORY}/{NOTIFY_SOCKET}"),
        );
        if let Some(usec) = facts.process.watchdog {
            env.set("WATCHDOG_USEC", usec.to_string());
        }
    }
    let home = facts.process.user.home.as_deref();
    // Who has no entry and gets none has no home either.
    let none = match definition.options.process.passwd {
        Some(false) => "",
        _ => "/",
    };
    env.set_unless_there("HOME", home.unwrap_or(none));
    env.set_unless_there("HOSTNAME", hostname(definition, facts));
    let all = env.0.into_iter();
    all.map(|(name, value)| format!("{name}={value}")).collect()
}

/// The environment that an image made of a container asks for: what is the same in each run of it.
pub fn of_image(image: &[String], options: &Options) -> Vec<String> {
    let process = &options.process;
    let mut env = Env::default();
    env.set("PATH", PATH);
    env.extend(assignments(image));
    for (name, template) in &process.env_merge {
        let value = expand(template, |name| env.get(name).unwrap_or("").to_owned());
        env.set(name, value);
    }
    if process.unset_env_all {
        env.0.clear();
    }
    env.0.retain(|(name, _)| !process.unset_env.contains(name));
    env.extend(borrowed(&options.env));
    let all = env.0.into_iter();
    all.map(|(name, value)| format!("{name}={value}")).collect()
}

fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}

fn assignments(words: &[String]) -> impl Iterator<Item = (&str, &str)> {
    words.iter().filter_map(|word| word.split_once('='))
}

/// Puts variables into a text as a shell does, without splitting it: `$NAME`, `${NAME}`, `${NAME:-default}`,
/// `${NAME:+alternative}`, quotes and backslashes.
fn expand(text: &str, get: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut literal = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => literal = !literal,
            _ if literal => out.push(c),
            '"' => {}
            '\\' => {
                let next = rest.chars().next();
                rest = &rest[next.map_or(0, char::len_utf8)..];
                out.extend(next);
            }
            '$' => rest = variable(rest, &get, &mut out),
            _ => out.push(c),
        }
    }
    out
}

/// Puts the value of the variable at the start of a text out, and returns what follows.
fn variable<'t>(rest: &'t str, get: &impl Fn(&str) -> String, out: &mut String) -> &'t str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let braced = rest
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'));
    if let Some((inner, after)) = braced {
        let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
        let (name, modifier) = inner.split_at(end);
        let value = get(name);
        match (modifier.split_at_checked(2), value.is_empty()) {
            (Some((":-", default)), true) => out.push_str(default),
            (Some((":+", alternative)), false) => out.push_str(alternative),
            (Some((":+", _)), true) => {}
            _ => out.push_str(&value),
        }
        return after;
    }
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    match end {
        0 => out.push('$'),
        _ => out.push_str(&get(&rest[..end])),
    }
    &rest[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_expanded_as_in_a_shell() {
        let get = |name: &str| match name {
            "PATH" => "/bin".to_owned(),
            _ => String::new(),
        };
        for (template, expected) in [
            ("$PATH:/x", "/bin:/x"),
            ("a${PATH}b", "a/binb"),
            ("${NOPE}x", "x"),
            ("${NOPE:-d}${PATH:-d}", "d/bin"),
            ("${NOPE:+d}${PATH:+d}", "d"),
            (r"\$PATH", "$PATH"),
            ("'$PATH'\"$PATH\"", "$PATH/bin"),
            ("5$ $", "5$ $"),
            ("${PATH", "${PATH"),
            ("é$PATHé", "é/biné"),
            ("\\", ""),
        ] {
            assert_eq!(expand(template, get), expected, "{template}");
        }
    }
}
