//! From a definition back to the text of a `.container` file.

use std::path::Path;

use super::container::{Container, From};
use super::expand::Expander;
use super::keys::{self, Form, WORDS};
use super::{FileSet, Specifiers, parse, words};
use crate::definition::{Arity, Definition, OptionSpec, Options, Source, options};
use crate::types::RestartPolicy;

/// Flags that a unit file says in another way: by `ContainerName=` and `Restart=`, or not at all.
const ELSEWHERE: &[&str] = &["name", "restart", "rm"];

/// Why a container cannot be said in a unit file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RenderError {
    /// A file with it would mean something else.
    #[error("--{0} of container {1} cannot be said in a unit file")]
    Option(&'static str, String),
    /// A file with its name, source or command would.
    #[error("container {name} cannot be said in a unit file: {reason}")]
    Other {
        /// The container.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// The text of a `.container` file that asks for the same container. It is read again here, so that what comes out means
/// what is on record.
///
/// # Errors
/// There is no such text.
pub fn render(definition: &Definition) -> Result<String, RenderError> {
    let text = text_of(definition);
    check(definition, &text)?;
    Ok(text)
}

fn text_of(definition: &Definition) -> String {
    let mut text = format!("# Container {}, as it is on record.\n", definition.name);
    if definition.options.remove {
        text.push_str("# --rm is left out: a unit's container stays.\n");
    }
    let mut line = |key: &str, value: &str| {
        text.push_str(&format!("{key}={value}\n"));
    };
    line("\n[Container]\nContainerName", definition.name.as_str());
    match &definition.source {
        Source::Image { name, id } if name.is_empty() => line("Image", id),
        Source::Image { name, .. } => line("Image", &escaped(name)),
        Source::Rootfs { path } => line("Rootfs", &escaped(&rootfs(path, &definition.options))),
    }
    if !definition.command.is_empty() {
        let command: Vec<String> = definition.command.iter().map(|word| quoted(word)).collect();
        line("Exec", &command.join(" "));
    }
    for spec in options().filter(|spec| !ELSEWHERE.contains(&spec.flag)) {
        for value in spec.values(&definition.options) {
            let (key, value) = assignment(spec, &value);
            line(key, &value);
        }
    }
    text.push_str(&service(definition.options.restart));
    text
}

/// `[Service]` and `[Install]` of a policy: one that has it started at boot is wanted there.
fn service(policy: Option<RestartPolicy>) -> String {
    let (word, note, at_boot) = match policy {
        None | Some(RestartPolicy::No) => return String::new(),
        Some(RestartPolicy::OnFailure(None)) => ("on-failure", String::new(), false),
        Some(RestartPolicy::OnFailure(Some(most))) => {
            let note = format!("# At most {most} times in a row: see StartLimitBurst=.\n");
            ("on-failure", note, false)
        }
        Some(RestartPolicy::Always | RestartPolicy::UnlessStopped) => {
            ("always", String::new(), true)
        }
    };
    let install = match at_boot {
        true => "\n[Install]\nWantedBy=multi-user.target\n",
        false => "",
    };
    format!("\n[Service]\n{note}Restart={word}\n{install}")
}

fn rootfs(path: &str, options: &Options) -> String {
    match (&options.files.rootfs_idmap, options.files.rootfs_overlay) {
        (Some(map), _) if map.is_empty() => format!("{path}:idmap"),
        (Some(map), _) => format!("{path}:idmap={map}"),
        (None, true) => format!("{path}:O"),
        (None, false) => path.to_owned(),
    }
}

/// Key and value of one value of an option; what no key can say is a flag.
fn assignment(spec: &OptionSpec, value: &str) -> (&'static str, String) {
    let of_form = |(key, form): (&'static str, Form)| {
        let value = match form {
            Form::Plain => value.to_owned(),
            Form::Behind(prefix) => value.strip_prefix(prefix)?.to_owned(),
            Form::If(text) => (value == text).then(|| "yes".to_owned())?,
            Form::Either(yes, no) if value == yes || value == no => {
                let word = if value == yes { "yes" } else { "no" };
                word.to_owned()
            }
            Form::Either(..) => value.to_owned(),
        };
        match WORDS.contains(&key) {
            true => Some((key, quoted(&value))),
            false => is_plain(&value).then(|| (key, escaped(&value))),
        }
    };
    keys::of(spec)
        .into_iter()
        .find_map(of_form)
        .unwrap_or_else(|| {
            let flag = match spec.arity {
                Arity::Switch if value == "true" => format!("--{}", spec.flag),
                Arity::Switch | Arity::One | Arity::Many => format!("--{}={value}", spec.flag),
            };
            ("PodmanArgs", quoted(&flag))
        })
}

/// Whether a line keeps it as it is; an empty value would take back those before.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value.trim() == value
        && !value.ends_with('\\')
        && !value.contains(char::is_control)
}

/// Without specifiers and variables.
fn escaped(text: &str) -> String {
    text.replace('%', "%%").replace('$', "$$")
}

/// One word of a list.
fn quoted(text: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "@%$/.,:;+-_=".contains(c);
    match !text.is_empty() && !text.starts_with(';') && text.chars().all(is_bare) {
        true => escaped(text),
        false => words::word(&escaped(text)),
    }
}

/// Reads it as the start of its unit would.
fn check(definition: &Definition, text: &str) -> Result<(), RenderError> {
    let other = |reason: String| RenderError::Other {
        name: definition.name.to_string(),
        reason,
    };
    let first = |errors: Vec<super::FileError>| {
        let error = errors.into_iter().next();
        other(error.map_or_else(String::new, |error| error.message))
    };
    let file = parse(Path::new("/container.container"), text).map_err(first)?;
    let expander = Expander {
        specifiers: &Specifiers::default(),
        environment: Some(&[]),
    };
    let read = Container::read(&file, "container.service", &expander, &FileSet::default());
    let read = read.map_err(first)?;
    let mut again = Options::default();
    read.apply(&mut again).map_err(first)?;
    for spec in options().filter(|spec| !ELSEWHERE.contains(&spec.flag)) {
        if spec.values(&again) != spec.values(&definition.options) {
            return Err(RenderError::Option(spec.flag, definition.name.to_string()));
        }
    }
    let from = match &definition.source {
        Source::Image { name, id } if name.is_empty() => From::Image(id.clone()),
        Source::Image { name, .. } => From::Image(name.clone()),
        Source::Rootfs { path } => From::Rootfs(rootfs(path, &definition.options)),
    };
    match (
        read.name == definition.name,
        read.from == from,
        read.command == definition.command,
    ) {
        (true, true, true) => Ok(()),
        (false, ..) => Err(other("its name is read as another".to_owned())),
        (_, false, _) => Err(other("its image or root is read as another".to_owned())),
        (.., false) => Err(other("its command is read as another".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::VERSION;
    use crate::types::ContainerId;

    /// What it is refused for is none of this.
    fn set(definition: &mut Definition, flag: &str, value: &str) {
        let spec = options().find(|spec| spec.flag == flag).unwrap();
        let _ = spec.apply(&mut definition.options, value);
    }

    fn made(flags: &[(&str, &str)]) -> Definition {
        let mut asked = Options::default();
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            spec.apply(&mut asked, value).unwrap();
        }
        Definition {
            version: VERSION,
            id: ContainerId::from_random([7; 32]),
            name: "web".parse().unwrap(),
            created: 1,
            source: Source::Image {
                name: "registry.example/web:1".to_owned(),
                id: "e".repeat(64),
            },
            command: ["sh", "-c", "echo \"$HOME\" 100% \\\n"]
                .map(str::to_owned)
                .to_vec(),
            options: asked,
            deployed: None,
        }
    }

    #[test]
    fn options_become_keys_and_flags_what_no_key_says() {
        let definition = made(&[
            ("env", "A=b c"),
            ("env", "PLAIN=x"),
            ("volume", "data:/data:ro"),
            ("read-only", "true"),
            ("user", "1000:50"),
            ("sdnotify", "container"),
            ("security-opt", "seccomp=unconfined"),
            ("oom-score-adj", "5"),
            ("label", "empty="),
            ("restart", "unless-stopped"),
            ("rm", "true"),
        ]);
        let text = render(&definition).unwrap();
        let expected = "# Container web, as it is on record.\n\
            # --rm is left out: a unit's container stays.\n\
            \n\
            [Container]\n\
            ContainerName=web\n\
            Image=registry.example/web:1\n\
            Exec=sh -c \"echo \\\"$$HOME\\\" 100%% \\\\\\x0a\"\n";
        assert_eq!(&text[..expected.len()], expected, "{text}");
        for line in [
            "User=1000:50",
            "Environment=\"A=b c\"",
            "Environment=PLAIN=x",
            "Label=empty=",
            "Volume=data:/data:ro",
            "ReadOnly=true",
            "Notify=yes",
            "SeccompProfile=unconfined",
            "PodmanArgs=--oom-score-adj=5",
            "Restart=always",
            "WantedBy=multi-user.target",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn values_that_a_line_would_change_are_kept() {
        for value in [
            " x", "x ", "x\\", "a\nb", "", "100%n", "$A", "${A}", "#x", "\u{85}",
        ] {
            let host = format!("A={value}");
            let mut definition = made(&[("env", &host), ("annotation", &host)]);
            set(&mut definition, "workdir", &format!("/{value}"));
            definition.command = vec![value.to_owned(), "x".to_owned()];
            let text = render(&definition);
            assert!(text.is_ok(), "{value:?}: {text:?}");
        }
    }

    #[test]
    fn what_would_be_another_container_is_refused() {
        let mut definition = made(&[]);
        definition.source = Source::Image {
            name: "made.build".to_owned(),
            id: String::new(),
        };
        let error = render(&definition).unwrap_err().to_string();
        assert!(error.contains("there is no file made.build"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(word in "[^\0]*", value in "[^\0]*", path in "[^\0:,]+") {
            let mut definition = made(&[]);
            definition.command = vec![word.clone()];
            definition.options.env = vec![("A".to_owned(), value.clone())];
            definition.options.labels.insert("k".to_owned(), value);
            set(&mut definition, "workdir", &format!("/{path}"));
            set(&mut definition, "tmpfs", &format!("/{path}"));
            let text = render(&definition);
            proptest::prop_assert!(text.is_ok(), "{text:?}");
        }
    }
}
