//! `completion`: from the grammar itself, and the names of the containers that there are.

use clap::ArgMatches;
use clap_complete::{Shell, generate};

use super::error::CliError;
use super::{command, output};

/// The verbs whose words are names of containers.
const ON_CONTAINERS: [&str; 22] = [
    "attach", "diff", "exec", "export", "inspect", "kill", "logs", "mount", "pause", "port",
    "rename", "restart", "rm", "start", "stats", "stop", "top", "umount", "unmount", "unpause",
    "update", "wait",
];

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
    generate(shell, &mut command(), "unitbox", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        Shell::Bash => text + &bash(),
        Shell::Fish => text + &fish(),
        _ => text,
    }
}

/// A name has no character that a shell takes for anything else.
const NAMES: &str = "unitbox ps --all --format '{{.Names}}' 2>/dev/null";

fn bash() -> String {
    let verbs = ON_CONTAINERS.join("|");
    format!(
        r#"
_unitbox_with_names() {{
    _unitbox "$@"
    local verb=${{COMP_WORDS[1]}} word=${{COMP_WORDS[COMP_CWORD]}} first=2
    [[ $verb != container ]] || {{ verb=${{COMP_WORDS[2]}}; first=3; }}
    [[ $COMP_CWORD -ge $first && $word != -* ]] || return 0
    case $verb in
        {verbs})
            COMPREPLY+=($(compgen -W "$({NAMES})" -- "$word")) ;;
    esac
}}
complete -F _unitbox_with_names -o nosort -o bashdefault -o default unitbox
"#
    )
}

fn fish() -> String {
    let verbs = ON_CONTAINERS.join(" ");
    format!("complete -c unitbox -n '__fish_seen_subcommand_from {verbs}' -f -a \"({NAMES})\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::{env, fs};

    #[test]
    fn bash_completes_names_of_containers() {
        let dir = env::temp_dir().join(format!("unitbox-completion-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (words, want) in [
            ("unitbox stop w", "web\n"),
            ("unitbox container rm d", "db\n"),
            ("unitbox stop web ''", "web\ndb\n"),
            ("unitbox images w", ""),
            ("unitbox resta", "restart\n"),
        ] {
            let count = words.split(' ').count() - 1;
            let script = format!(
                "{}\nunitbox() {{ printf 'web\\ndb\\n'; }}\nCOMP_WORDS=({words}); COMP_CWORD={count}\n\
                 COMP_LINE='{}' _unitbox_with_names unitbox \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
                 for word in \"${{COMPREPLY[@]}}\"; do [[ $word == -* ]] || echo \"$word\"; done",
                script(Shell::Bash),
                words.replace('\'', ""),
            );
            // Too long for an argument.
            let file = dir.join("script");
            fs::write(&file, script).unwrap();
            let run = Command::new("bash").arg(&file).output().unwrap();
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
    fn every_verb_that_takes_names_is_known() {
        let grammar = command();
        for verb in ON_CONTAINERS {
            assert!(grammar.find_subcommand(verb).is_some(), "{verb}");
        }
        assert!(script(Shell::Fish).contains("__fish_seen_subcommand_from attach diff"));
    }
}
