//! Changes of an image's configuration, in the words of a Containerfile (podman-commit(1), `--change`).

use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// How a change is written: `commit` takes the words of a Containerfile, `import` one pair behind each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Several pairs of `ENV` and `LABEL`, with quotes.
    Commit,
    /// What stands behind `ENV` and `LABEL` is one pair.
    Import,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Default arguments.
    Cmd(Vec<String>),
    /// What is run; default arguments of before do not fit it.
    Entrypoint(Vec<String>),
    /// A variable.
    Env(String, String),
    /// `port/protocol`.
    Expose(String),
    /// A label.
    Label(String, String),
    /// What an image made of this one begins with.
    Onbuild(String),
    /// Signal of an ordered stop.
    StopSignal(String),
    /// `user[:group]`.
    User(String),
    /// Directories to put volumes on.
    Volume(Vec<String>),
    /// Working directory; a relative one counts from that of the change before, or from `/`.
    Workdir(String),
}

/// Reads one value of `--change`: `CMD ["ls", "-l"]`, `ENV A=b`, `USER=app`.
///
/// # Errors
/// What is wrong, in one line.
pub fn parse(text: &str, style: Style) -> Result<Vec<Change>, String> {
    let whole = text.trim();
    let invalid = |why: &str| format!("invalid change {text:?} - {why}");
    let at = whole.find([' ', '\t', '=']).unwrap_or(whole.len());
    let word = whole[..at].to_uppercase();
    let rest = whole.get(at + 1..).unwrap_or_default().trim();
    if !WORDS.contains(&word.as_str()) {
        return Err(invalid(&format!("invalid instruction {word}")));
    }
    if rest.is_empty() {
        return Err(invalid("must be formatted as KEY VALUE"));
    }
    let one = |change: fn(String) -> Change| Ok(vec![change(rest.to_owned())]);
    let pair = |change: fn(String, String) -> Change| {
        let pairs = match style {
            Style::Commit => pairs(rest),
            Style::Import => Ok(vec![rest.split_once('=').map_or_else(
                || (rest.to_owned(), None),
                |(key, value)| (key.to_owned(), Some(value.to_owned())),
            )]),
        };
        let change = |(key, value): (String, Option<String>)| match (key.as_str(), value) {
            ("", _) => Err(invalid("a name is empty")),
            (_, Some(value)) => Ok(change(key, value)),
            (_, None) => Err(invalid(&format!("{word} must be formatted key=value"))),
        };
        (pairs.map_err(|why| invalid(&why))?.into_iter())
            .map(change)
            .collect::<Result<Vec<_>, _>>()
    };
    match word.as_str() {
        "CMD" => Ok(vec![Change::Cmd(command(rest))]),
        "ENTRYPOINT" => Ok(vec![Change::Entrypoint(command(rest))]),
        "ENV" => pair(Change::Env),
        "LABEL" => pair(Change::Label),
        "EXPOSE" => {
            let ports = rest.split_whitespace().map(port);
            ports.collect::<Result<_, _>>().map_err(|why| invalid(&why))
        }
        "ONBUILD" => one(Change::Onbuild),
        "STOPSIGNAL" => match rest.parse::<crate::types::Signal>() {
            Ok(_) => one(Change::StopSignal),
            Err(error) => Err(invalid(&error.to_string())),
        },
        "USER" => one(Change::User),
        "VOLUME" => {
            let all = match list(rest) {
                Some(all) => all,
                None => rest.split_whitespace().map(str::to_owned).collect(),
            };
            match all.iter().any(String::is_empty) || all.is_empty() {
                true => Err(invalid("VOLUME requires at least one argument")),
                false => Ok(vec![Change::Volume(all)]),
            }
        }
        _ => one(Change::Workdir),
    }
}

const WORDS: [&str; 10] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A JSON array of texts.
fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// An array, or a line for a shell.
fn command(text: &str) -> Vec<String> {
    let shell = || ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    list(text).unwrap_or_else(shell)
}

fn port(text: &str) -> Result<Change, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = number.split_once('-').unwrap_or((number, number));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let protocol = protocol.to_lowercase();
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => {}
        _ => return Err(format!("EXPOSE port must be an integer: {number:?}")),
    }
    match ["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        true => Ok(Change::Expose(format!("{number}/{protocol}"))),
        false => Err("EXPOSE protocol must be tcp, udp or sctp".to_owned()),
    }
}

/// Words with quotes and backslashes as a shell has them, each a pair.
fn pairs(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let (mut key, mut value): (String, Option<String>) = Default::default();
        let mut quote = None;
        while let Some(c) = chars.next() {
            let is_key = value.is_none();
            let part = value.as_mut().unwrap_or(&mut key);
            match (quote, c) {
                (None, c) if c.is_whitespace() => break,
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None | Some('"'), '\\') => part.extend(chars.next()),
                (None, '=') if is_key => value = Some(String::new()),
                _ => part.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        if !key.is_empty() || value.is_some() {
            pairs.push((key, value));
        }
    }
    Ok(pairs)
}

/// Makes changes in a configuration (image-spec, config.md: `config`).
pub fn apply(changes: &[Change], config: &mut Map<String, Value>) {
    // Those of before do not count, as in Podman.
    let mut workdir = PathBuf::from("/");
    let has_command = changes
        .iter()
        .any(|change| matches!(change, Change::Cmd(_)));
    for change in changes {
        match change {
            Change::Cmd(words) => set(config, "Cmd", words),
            Change::Entrypoint(words) => {
                set(config, "Entrypoint", words);
                if !has_command {
                    config.remove("Cmd");
                }
            }
            Change::Env(key, value) => set_variable(config, key, value),
            Change::Expose(port) => add_key(config, "ExposedPorts", port, json!({})),
            Change::Label(key, value) => add_key(config, "Labels", key, json!(value)),
            Change::Onbuild(line) => {
                match config.get_mut("OnBuild").and_then(Value::as_array_mut) {
                    Some(all) => all.push(json!(line)),
                    None => drop(config.insert("OnBuild".to_owned(), json!([line]))),
                }
            }
            Change::StopSignal(signal) => {
                drop(config.insert("StopSignal".to_owned(), json!(signal)))
            }
            Change::User(user) => drop(config.insert("User".to_owned(), json!(user))),
            Change::Volume(all) => {
                for volume in all {
                    add_key(config, "Volumes", volume, json!({}));
                }
            }
            Change::Workdir(path) => {
                workdir.push(path);
                config.insert("WorkingDir".to_owned(), json!(workdir));
            }
        }
    }
}

fn set(config: &mut Map<String, Value>, key: &str, words: &[String]) {
    match words {
        [] => drop(config.remove(key)),
        words => drop(config.insert(key.to_owned(), json!(words))),
    }
}

/// Sets a variable, in the place of one of the same name.
pub fn set_variable(config: &mut Map<String, Value>, key: &str, value: &str) {
    let mut all: Vec<Value> =
        (config.get("Env").and_then(Value::as_array).cloned()).unwrap_or_default();
    let assignment = json!(format!("{key}={value}"));
    let is_it = |one: &&mut Value| {
        one.as_str()
            .is_some_and(|one| one.split_once('=').is_some_and(|(own, _)| own == key))
    };
    match all.iter_mut().find(is_it) {
        Some(one) => *one = assignment,
        None => all.push(assignment),
    }
    config.insert("Env".to_owned(), Value::Array(all));
}

/// Adds a key to a set or map.
pub fn add_key(config: &mut Map<String, Value>, of: &str, key: &str, value: Value) {
    match config.get_mut(of).and_then(Value::as_object_mut) {
        Some(all) => drop(all.insert(key.to_owned(), value)),
        None => {
            let all: Map<String, Value> = [(key.to_owned(), value)].into_iter().collect();
            config.insert(of.to_owned(), Value::Object(all));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(texts: &[&str], config: Value) -> Value {
        let changes = texts.iter().map(|text| parse(text, Style::Commit).unwrap());
        let changes: Vec<Change> = changes.flatten().collect();
        let mut config = config.as_object().unwrap().clone();
        apply(&changes, &mut config);
        Value::Object(config)
    }

    #[test]
    fn each_word_changes_its_part() {
        let texts = [
            "CMD [\"/bin/ls\",\"-l\"]",
            "entrypoint /bin/x y",
            "ENV A=b C=\"d e\" F=g\\ h",
            "ENV=A=c",
            "EXPOSE 80 90/UDP",
            "LABEL 'x y'=z a=",
            "ONBUILD RUN x",
            "STOPSIGNAL SIGINT",
            "USER=5:6",
            "VOLUME /v /w",
            "VOLUME [\"/q r\"]",
            "WORKDIR sub",
            "WORKDIR deep",
        ];
        let before = json!({"WorkingDir": "/tmp", "Env": ["P=q", "A=old"], "Labels": {"l": "1"}});
        let want = json!({
            "Cmd": ["/bin/ls", "-l"], "Entrypoint": ["/bin/sh", "-c", "/bin/x y"],
            "Env": ["P=q", "A=c", "C=d e", "F=g h"], "ExposedPorts": {"80/tcp": {}, "90/udp": {}},
            "Labels": {"l": "1", "x y": "z", "a": ""}, "OnBuild": ["RUN x"], "StopSignal": "SIGINT", "User": "5:6",
            "Volumes": {"/v": {}, "/w": {}, "/q r": {}}, "WorkingDir": "/sub/deep"
        });
        assert_eq!(made(&texts, before), want);
    }

    #[test]
    fn an_entry_point_takes_the_arguments_of_before_away() {
        let before = json!({"Cmd": ["a"], "Entrypoint": ["b"]});
        assert_eq!(
            made(&["ENTRYPOINT [\"c\"]"], before.clone()),
            json!({"Entrypoint": ["c"]})
        );
        let both = made(&["CMD [\"d\"]", "ENTRYPOINT [\"c\"]"], before.clone());
        assert_eq!(both, json!({"Cmd": ["d"], "Entrypoint": ["c"]}));
        assert_eq!(made(&["CMD []", "ENTRYPOINT []"], before), json!({}));
    }

    #[test]
    fn import_takes_one_pair() {
        let parsed = parse("ENV A=b C=d", Style::Import).unwrap();
        assert_eq!(parsed, [Change::Env("A".to_owned(), "b C=d".to_owned())]);
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for (text, want) in [
            ("", "invalid change \"\" - invalid instruction "),
            (
                "FROM x",
                "invalid change \"FROM x\" - invalid instruction FROM",
            ),
            ("RUN x", "invalid instruction RUN"),
            ("CMD", "must be formatted as KEY VALUE"),
            ("USER ", "must be formatted as KEY VALUE"),
            ("ENV A", "ENV must be formatted key=value"),
            ("LABEL =x", "a name is empty"),
            ("ENV A=\"b", "a quote is not closed"),
            ("EXPOSE x", "EXPOSE port must be an integer: \"x\""),
            ("EXPOSE 99999", "EXPOSE port"),
            ("EXPOSE 9-8", "EXPOSE port"),
            ("EXPOSE 80/foo", "EXPOSE protocol must be tcp, udp or sctp"),
            ("VOLUME []", "VOLUME requires at least one argument"),
            ("STOPSIGNAL foo", "foo"),
        ] {
            let error = parse(text, Style::Commit).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
