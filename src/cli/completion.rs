//! `completion`: from the grammar itself, and the names of what there is, by the kind of what a verb takes.

use clap::{ArgMatches, Command};
use clap_complete::{Shell, generate};

use super::error::CliError;
use super::{command, output};

pub(super) fn run(args: &ArgMatches) -> Result<u8, CliError> {
    let shell = match args.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    output::print(&script(shell))?;
    Ok(0)
}

/// The script for a shell.
fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut shown(&command()), "unitbox", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        Shell::Bash => text + &bash(),
        Shell::Fish => text + &fish(),
        _ => zsh(&text),
    }
}

/// The grammar without what help does not show: options that are there to be refused by name are not to be offered.
fn shown(command: &Command) -> Command {
    let mut copy = Command::new(command.get_name().to_owned())
        .disable_help_flag(command.is_disable_help_flag_set())
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .visible_aliases(command.get_visible_aliases().map(str::to_owned));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned());
    }
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    copy.args(args.cloned()).subcommands(verbs.map(shown))
}

/// What the words of a verb name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Containers,
    Images,
    Volumes,
    Secrets,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Containers, Self::Images, Self::Volumes, Self::Secrets];

    /// What lists the names; none of them has a character that a shell takes for anything else.
    fn list(self) -> &'static str {
        match self {
            Self::Containers => "unitbox ps --all --format '{{.Names}}' 2>/dev/null",
            Self::Images => "unitbox images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null",
            Self::Volumes => "unitbox volume ls --quiet 2>/dev/null",
            Self::Secrets => "unitbox secret ls --format '{{.Name}}' 2>/dev/null",
        }
    }

    /// Of a verb, from what its grammar calls the first word that is no option.
    fn of(group: Option<&str>, verb: &Command) -> Option<Self> {
        let word = verb.get_positionals().find(|word| !word.is_hide_set())?;
        let name = word.get_value_names()?.first()?.as_str();
        match (group, verb.get_name()) {
            // A name that is not there yet.
            (_, "create") if !name.starts_with("IMAGE") => None,
            // NAME:PATH.
            (_, "cp") => Some(Self::Containers),
            _ if name.starts_with("CONTAINER") => Some(Self::Containers),
            _ if name.starts_with("IMAGE") => Some(Self::Images),
            (Some("volume"), _) => Some(Self::Volumes),
            (Some("secret"), _) => Some(Self::Secrets),
            (Some("image"), _) => Some(Self::Images),
            (Some("container") | None, "inspect") => Some(Self::Containers),
            _ => None,
        }
    }
}

/// Every verb that takes names: its group, itself, and what it takes. One with another name is there twice.
fn with_names() -> Vec<(Option<String>, String, Kind)> {
    let grammar = shown(&command());
    let mut found = Vec::new();
    fn visit(group: Option<&str>, command: &Command, add: &mut dyn FnMut(Option<&str>, &Command)) {
        for verb in command.get_subcommands() {
            add(group, verb);
            let name = verb.get_name();
            let name = group.map_or_else(|| name.to_owned(), |group| format!("{group} {name}"));
            visit(Some(&name), verb, add);
        }
    }
    let mut add = |group: Option<&str>, verb: &Command| {
        let names = [verb.get_name()]
            .into_iter()
            .chain(verb.get_visible_aliases());
        if let Some(kind) = Kind::of(group, verb) {
            found.extend(names.map(|name| (group.map(str::to_owned), name.to_owned(), kind)));
        }
    };
    visit(None, &grammar, &mut add);
    found
}

fn bash() -> String {
    let mut cases = String::new();
    for kind in Kind::ALL {
        let verbs = with_names().into_iter().filter(|(_, _, of)| *of == kind);
        let verbs = verbs.map(|(group, verb, _)| match group {
            Some(group) => format!("'{group} {verb}'"),
            None => verb,
        });
        let (verbs, list) = (verbs.collect::<Vec<_>>().join("|"), kind.list());
        cases.push_str(&format!(
            "        {verbs})\n            COMPREPLY+=($(compgen -W \"$({list})\" -- \"$word\")) ;;\n"
        ));
    }
    let grammar = command();
    let groups = grammar
        .get_subcommands()
        .filter(|verb| verb.has_subcommands());
    let groups: Vec<&Command> = groups.collect();
    let nested = groups.iter().flat_map(|group| {
        let below = group
            .get_subcommands()
            .filter(|verb| verb.has_subcommands());
        below.map(|verb| format!("'{} {}'", group.get_name(), verb.get_name()))
    });
    let nested: Vec<String> = nested.collect();
    let groups: Vec<&str> = groups.into_iter().map(Command::get_name).collect();
    let (groups, nested) = (groups.join("|"), nested.join("|"));
    format!(
        r#"
_unitbox_with_names() {{
    _unitbox "$@"
    local verb=${{COMP_WORDS[1]}} word=${{COMP_WORDS[COMP_CWORD]}} first=2
    case $verb in {groups}) verb="$verb ${{COMP_WORDS[2]}}"; first=3 ;; esac
    case $verb in {nested}) verb="$verb ${{COMP_WORDS[3]}}"; first=4 ;; esac
    [[ $COMP_CWORD -ge $first && $word != -* ]] || return 0
    case $verb in
{cases}    esac
}}
complete -F _unitbox_with_names -o nosort -o bashdefault -o default unitbox
"#
    )
}

fn fish() -> String {
    let line = |(group, verb, kind): (Option<String>, String, Kind)| {
        let seen = match group {
            Some(group) => format!(
                "__fish_unitbox_using_subcommand {}; and __fish_seen_subcommand_from {verb}",
                group.replace(' ', "; and __fish_seen_subcommand_from ")
            ),
            None => format!("__fish_unitbox_using_subcommand {verb}"),
        };
        let list = kind.list();
        format!("complete -c unitbox -n \"{seen}\" -f -a \"({list})\"\n")
    };
    with_names().into_iter().map(line).collect()
}

/// Whether that is a group's name in the script of zsh, which has dashes between words.
fn is_of(group: Option<&str>, name: Option<&str>) -> bool {
    group.map(|group| group.replace(' ', "-")).as_deref() == name
}

/// The names in place of the shell's own guess for words that are no option.
fn zsh(script: &str) -> String {
    let with_names = with_names();
    let mut text = String::new();
    let (mut group, mut verb): (Option<String>, Option<String>) = (None, None);
    // The group around each `case`.
    let mut around = Vec::new();
    for line in script.lines() {
        let line = line.trim_end();
        let bare = line.trim_start();
        if bare.starts_with("case ") {
            around.push(group.clone());
        } else if bare == "esac" {
            group = around.pop().flatten();
        } else if let Some((_, rest)) = line.split_once(":unitbox-")
            && let Some((name, _)) = rest.split_once("command-$line")
        {
            group = name.strip_suffix('-').map(str::to_owned);
        } else if let Some(name) = bare
            .strip_prefix('(')
            .and_then(|name| name.strip_suffix(')'))
        {
            verb = Some(name.to_owned());
        }
        let is_word = line.starts_with("':") || line.starts_with("'*:");
        let kind = with_names.iter().find(|(of, name, _)| {
            is_of(of.as_deref(), group.as_deref()) && verb.as_ref() == Some(name)
        });
        match kind {
            Some((_, _, kind)) if is_word && line.contains(":_default'") => {
                let names = format!(":_unitbox_{kind:?}'").to_lowercase();
                text.push_str(&line.replace(":_default'", &names));
                // Of the first word only.
                verb = verb.filter(|_| line.starts_with("'*"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    let functions: String = Kind::ALL
        .iter()
        .map(|kind| {
            let (name, list) = (format!("{kind:?}").to_lowercase(), kind.list());
            format!("_unitbox_{name}() {{\n    compadd -- ${{(f)\"$({list})\"}}\n}}\n\n")
        })
        .collect();
    // Before the last statement, which runs or registers the whole.
    match text.rfind("if [ \"$funcstack[1]\"") {
        Some(at) => format!("{}{functions}{}", &text[..at], &text[at..]),
        None => text + &functions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command as Program, Stdio};
    use std::{env, fs};

    #[test]
    fn bash_completes_names_of_what_a_verb_takes() {
        let dir = env::temp_dir().join(format!("unitbox-completion-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (words, want) in [
            ("unitbox stop w", "web\n"),
            ("unitbox container rm d", "db\n"),
            ("unitbox stop web ''", "web\ndb\n"),
            ("unitbox images w", ""),
            ("unitbox resta", "restart\n"),
            ("unitbox run b", "busybox\n"),
            ("unitbox rmi b", "busybox\n"),
            ("unitbox image inspect b", "busybox\n"),
            ("unitbox volume rm v", "vol\n"),
            ("unitbox volume create v", ""),
            ("unitbox secret inspect p", "pass\n"),
            ("unitbox cp w", "web\n"),
            ("unitbox container artifact ls w", "web\n"),
            ("unitbox container artifact w", ""),
        ] {
            let count = words.split(' ').count() - 1;
            let script = format!(
                "{}\nunitbox() {{ case $1 in ps) printf 'web\\ndb\\n' ;; images) echo busybox ;; volume) echo vol ;; \
                 secret) echo pass ;; esac; }}\nCOMP_WORDS=({words}); COMP_CWORD={count}\n\
                 COMP_LINE='{}' _unitbox_with_names unitbox \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
                 for word in \"${{COMPREPLY[@]}}\"; do [[ $word == -* ]] || echo \"$word\"; done",
                script(Shell::Bash),
                words.replace('\'', ""),
            );
            // Too long for an argument.
            let file = dir.join("script");
            fs::write(&file, script).unwrap();
            let run = Program::new("bash")
                .arg(&file)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let found = String::from_utf8_lossy(&run.stdout).into_owned();
            assert_eq!(
                found,
                want,
                "{words}: {}",
                String::from_utf8_lossy(&run.stderr)
            );
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn every_verb_on_something_has_its_names_in_every_shell() {
        let found = with_names();
        let has = |group: Option<&str>, verb: &str, kind: Kind| {
            found.contains(&(group.map(str::to_owned), verb.to_owned(), kind))
        };
        for verb in [
            "attach", "cp", "exec", "inspect", "kill", "logs", "pause", "port", "rename",
            "restart", "rm", "start", "stats", "stop", "top", "unpause", "update", "wait",
        ] {
            assert!(has(None, verb, Kind::Containers), "{verb}");
            assert!(has(Some("container"), verb, Kind::Containers), "{verb}");
        }
        assert!(has(Some("container artifact"), "add", Kind::Containers));
        for verb in ["create", "run", "rmi"] {
            assert!(has(None, verb, Kind::Images), "{verb}");
        }
        assert!(has(Some("image"), "inspect", Kind::Images));
        assert!(has(Some("volume"), "rm", Kind::Volumes));
        assert!(has(Some("secret"), "rm", Kind::Secrets));
        let [fish, zsh] = [Shell::Fish, Shell::Zsh].map(script);
        let lines =
            |text: &str, part: &str| text.lines().filter(|line| line.contains(part)).count();
        for kind in Kind::ALL {
            let verbs = found.iter().filter(|(_, _, of)| *of == kind).count();
            assert_eq!(
                lines(&fish, &format!("-f -a \"({})\"", kind.list())),
                verbs,
                "{kind:?}"
            );
            let name = format!(":_unitbox_{kind:?}'").to_lowercase();
            assert_eq!(lines(&zsh, &name), verbs, "{kind:?}");
        }
    }
}
