//! Why a runtime failed: its log's last message, and the exit code that Podman gives it.

use std::fs;
use std::path::Path;

use crate::api::ExitCode;

/// The exit code and one line for a runtime's failure.
pub fn of_log(log: &Path) -> (u8, String) {
    of(log, code)
}

/// The same of a process in a container that runs.
pub fn of_exec(log: &Path) -> (u8, String) {
    of(log, exec_code)
}

fn of(log: &Path, code: fn(&str) -> u8) -> (u8, String) {
    let text = fs::read_to_string(log).unwrap_or_default();
    match last_message(&text) {
        Some(message) => (code(&message), message),
        None => {
            let text = "the runtime failed without a message".to_owned();
            (ExitCode::NotExecutable.number(), text)
        }
    }
}

/// Podman's codes there: 255 for what is neither missing nor forbidden.
fn exec_code(message: &str) -> u8 {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["permission denied", "operation not permitted"]) {
        ExitCode::NotExecutable.number()
    } else if has(&["not found", "no such file or directory"]) {
        ExitCode::NotFound.number()
    } else {
        255
    }
}

/// As Podman has it: what is not there is 127, anything else that a runtime cannot do is 126.
fn code(message: &str) -> u8 {
    let lower = message.to_ascii_lowercase();
    let has = |text: &str| lower.contains(text);
    let forbidden = has("permission denied") || has("operation not permitted");
    let missing = has("no such file or directory") || has("executable file not found");
    let code = match missing && !forbidden {
        true => ExitCode::NotFound,
        false => ExitCode::NotExecutable,
    };
    code.number()
}

/// The `msg` of the last line that has one (`--log-format json` of runc(8) and crun(1)).
fn last_message(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains("\"msg\""))?;
    let rest = line[line.find("\"msg\"")? + 5..]
        .trim_start()
        .strip_prefix(':')?
        .trim_start();
    let mut chars = rest.strip_prefix('"')?.chars();
    let mut message = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(message.trim().to_owned()),
            '\\' => match chars.next()? {
                'n' | 't' | 'r' => message.push(' '),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    message.push(code.filter(|c| !c.is_control()).unwrap_or('?'));
                }
                other => message.push(other),
            },
            c if c.is_control() => message.push(' '),
            c => message.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_words_become_podmans_codes() {
        for (message, expected) in [
            (
                r#"runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH"#,
                127,
            ),
            (
                r#"exec: "/nope": stat /nope: no such file or directory"#,
                127,
            ),
            (r#"exec: "/etc/passwd": permission denied"#, 126),
            (
                "executable file `nope` not found in $PATH: No such file or directory",
                127,
            ),
            ("open executable: Permission denied", 126),
            ("mount `/x` to `/y`: No such file or directory", 127),
            ("mkdirat /x: read-only file system", 126),
            ("mount proc: operation not permitted", 126),
        ] {
            assert_eq!(code(message), expected, "{message}");
        }
    }

    #[test]
    fn exec_has_codes_of_its_own() {
        for (message, expected) in [
            (r#"exec: "x": executable file not found in $PATH"#, 127),
            (
                r#"chdir to cwd ("/x") set in config.json failed: no such file or directory"#,
                127,
            ),
            (r#"exec: "/etc/passwd": permission denied"#, 126),
            (r#"exec: "/etc": is a directory"#, 255),
        ] {
            assert_eq!(exec_code(message), expected, "{message}");
        }
    }

    #[test]
    fn the_last_message_is_found_and_unescaped() {
        let log = "{\"level\":\"warning\",\"msg\":\"old\"}\n{\"level\":\"error\",\"msg\":\"exec: \\\"x\\\":\\u0020a\\nb\",\"time\":\"t\"}\n";
        assert_eq!(last_message(log).as_deref(), Some("exec: \"x\": a b"));
        assert_eq!(last_message("{\"msg\":\"cut"), None);
        assert_eq!(last_message(""), None);
    }
}
