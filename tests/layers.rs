//! Imports of the modules: downwards only.

mod source;

use std::path::Path;

/// What a module may import, besides itself.
const TABLE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("sys", &[]),
    ("api", &["types"]),
    ("definition", &["types"]),
    ("lifecycle", &["types"]),
    ("plan", &["types", "definition", "api"]),
    ("store", &["types", "definition", "api", "sys"]),
    ("image", &["types", "api", "sys", "store"]),
    (
        "host",
        &[
            "types",
            "definition",
            "api",
            "sys",
            "plan",
            "store",
            "image",
        ],
    ),
    ("container", BELOW_TOPS),
    ("monitor", TOP),
    ("bus", TOP),
    ("cli", TOP),
    ("generator", &["types", "definition", "plan", "api"]),
];

const BELOW_TOPS: &[&str] = &[
    "types",
    "definition",
    "lifecycle",
    "api",
    "sys",
    "plan",
    "store",
    "image",
    "host",
];

const TOP: &[&str] = &[
    "types",
    "definition",
    "lifecycle",
    "api",
    "sys",
    "plan",
    "store",
    "image",
    "host",
    "container",
];

/// The resident part of the monitor parses nothing and prepares nothing: these are for its workers, and for the process
/// that orders a reload.
const WORKERS_ONLY: &[&str] = &["container", "image", "store", "plan"];
const PASSING: [&str; 2] = ["src/monitor/worker.rs", "src/monitor/reload.rs"];

/// What a program may name of the library: the module that is its top, and no other.
const PROGRAMS: &[(&str, &str)] = &[
    ("src/bin/unitbox.rs", "cli"),
    ("src/bin/unitbox-monitor.rs", "monitor"),
    ("src/bin/unitbox-monitor-failpoints.rs", "monitor"),
    ("src/bin/unitbox-generator.rs", "generator"),
    ("src/bin/unitbox-bus.rs", "bus"),
];

#[test]
fn modules_import_downwards_only() {
    let mut wrong = Vec::new();
    for (path, text) in source::rust_files("src") {
        wrong.extend(wrong_imports(&path, &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_import_is_found() {
    let planted = [
        ("src/types/id.rs", "use crate::api::Layout;", "api"),
        (
            "src/plan/unit/mod.rs",
            "use crate::{definition::Definition, host::world::World};",
            "host",
        ),
        (
            "src/bus/mod.rs",
            "use crate::{\n    api,\n    cli,\n};",
            "cli",
        ),
        (
            "src/store/lock.rs",
            "fn f() -> crate::container::Error { todo() }",
            "container",
        ),
        (
            "src/monitor/engine.rs",
            "pub(crate) use crate::{sys::{a, b}, store};",
            "store",
        ),
        ("src/generator/mod.rs", "use crate::sys::paths;", "sys"),
        (
            "src/bin/unitbox-bus.rs",
            "fn main() { unitbox::cli::main() }",
            "cli",
        ),
        ("src/newcomer/mod.rs", "", "newcomer"),
    ];
    for (path, text, culprit) in planted {
        let wrong = wrong_imports(Path::new(path), text);
        assert_eq!(wrong.len(), 1, "{path}: {wrong:?}");
        assert!(wrong[0].contains(culprit), "{wrong:?}");
    }
}

#[test]
fn comments_strings_and_own_paths_are_no_imports() {
    let text = "// use crate::cli;\n/// [`crate::bus`]\nuse crate::types::{A, cli};\nlet s = \"crate::host\";\n";
    assert_eq!(wrong_imports(Path::new("src/api/mod.rs"), text), [""; 0]);
    let text = "use crate::sys::a;\nuse crate::monitor::b;";
    assert_eq!(wrong_imports(Path::new("src/monitor/b.rs"), text), [""; 0]);
    assert_eq!(
        wrong_imports(Path::new(PASSING[0]), "use crate::container::prepare;"),
        [""; 0]
    );
}

/// A line for each import that the table does not have.
fn wrong_imports(path: &Path, text: &str) -> Vec<String> {
    let file = path.to_str().expect("a path of the package is UTF-8");
    let code = code_of(text);
    if let Some((_, top)) = PROGRAMS.iter().find(|(program, _)| *program == file) {
        return complain(file, paths_in(&code, "unitbox::"), &[top]);
    }
    let mut parts = file.split('/').skip(1);
    let module = parts.next().expect("a source file is below src");
    if module == "lib.rs" {
        return Vec::new();
    }
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "{file}: module {module} is not in the table of imports"
        )];
    };
    let resident = module == "monitor" && !PASSING.contains(&file);
    let mut allowed = allowed.to_vec();
    allowed.retain(|name| !(resident && WORKERS_ONLY.contains(name)));
    allowed.push(module);
    complain(file, paths_in(&code, "crate::"), &allowed)
}

fn complain(file: &str, imports: Vec<String>, allowed: &[&str]) -> Vec<String> {
    let wrong = imports
        .into_iter()
        .filter(|name| !allowed.contains(&name.as_str()));
    wrong
        .map(|name| format!("{file} must not import {name}"))
        .collect()
}

/// The text without comments and without what is in plain string literals.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line;
        let mut quoted = false;
        while let Some(at) = rest.find(['"', '/', '\\']) {
            let (before, from) = rest.split_at(at);
            code.push_str(if quoted { "" } else { before });
            if !quoted && from.starts_with("//") {
                rest = "";
                break;
            }
            quoted ^= from.starts_with('"');
            let skip = if from.starts_with('\\') { 2 } else { 1 };
            rest = from.get(skip..).unwrap_or("");
        }
        code.push_str(if quoted { "" } else { rest });
        code.push('\n');
    }
    code
}

/// The first names behind a root (`crate::`), with those of a group (`crate::{a::b, c}`).
fn paths_in(code: &str, root: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_heads(group)),
            None => names.push(head(rest)),
        }
    }
    names.retain(|name| name.starts_with(char::is_lowercase));
    names
}

fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![head(group)];
    let mut depth = 0_u32;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> String {
    let identifier = |c: &char| c.is_alphanumeric() || *c == '_';
    path.trim_start().chars().take_while(identifier).collect()
}
