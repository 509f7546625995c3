//! How systemd restarts a unit, for workers of the monitor: they have no D-Bus, and ask systemctl(1).

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use crate::sys::exec::Exec;
use crate::sys::move_data::pipe;
use crate::sys::process::How;
use crate::types::Restart;

const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

/// Where drop-ins lie that can say when a unit is restarted (systemd.unit(5)).
const UNITS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
];

/// Automatic restarts since the last start by anybody else (NRestarts), and `Restart=` as it holds.
///
/// # Errors
/// systemctl(1) cannot be run, or does not answer with a number.
pub fn restarts_of(unit: &str) -> io::Result<(u32, Option<Restart>)> {
    let program = SYSTEMCTL
        .iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    let program = program.ok_or_else(|| io::Error::other("there is no systemctl"))?;
    let null = fs::File::open("/dev/null")?;
    let (output, write) = pipe()?;
    let child = Exec::new(program)
        .args(["show", "--property=NRestarts,Restart", "--", unit])
        .stdin(null.as_fd())
        .stdout(write.as_fd())
        .spawn()
        .map_err(io::Error::other)?;
    drop(write);
    let mut text = String::new();
    fs::File::from(output).read_to_string(&mut text)?;
    match child.wait()? {
        How::Exited(0) => parse(&text),
        how => Err(io::Error::other(format!("systemctl ended as {how:?}"))),
    }
}

fn parse(text: &str) -> io::Result<(u32, Option<Restart>)> {
    let value = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let count = value("NRestarts").unwrap_or_default();
    let count = count.parse().map_err(io::Error::other)?;
    Ok((count, value("Restart").and_then(|word| word.parse().ok())))
}

/// Whether an administrator may have changed the unit: there are drop-ins for it below this directory.
pub fn has_drop_ins(root: &Path, unit: &str) -> bool {
    let names = names(unit);
    let mut places = UNITS.iter().flat_map(|place| {
        let place = root.join(place);
        names.iter().map(move |name| place.join(name))
    });
    places.any(|place| place.exists())
}

/// The names of such directories: the unit's own, its template's, one for each dash, and that of all units of its kind.
fn names(unit: &str) -> Vec<String> {
    let (stem, kind) = unit.rsplit_once('.').unwrap_or((unit, "service"));
    let template = stem.split_once('@').map(|(before, _)| format!("{before}@"));
    let dashes = stem
        .match_indices('-')
        .map(|(at, dash)| &stem[..at + dash.len()]);
    let stems = dashes.map(str::to_owned).chain(template);
    let stems = stems.chain([stem.to_owned()]);
    let names = stems.map(|stem| format!("{stem}.{kind}.d"));
    names.chain([format!("{kind}.d")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_any_order() {
        let seen = parse("Restart=on-abort\nNRestarts=3\n").unwrap();
        assert_eq!(seen, (3, Some(Restart::OnAbort)));
        assert_eq!(parse("NRestarts=0\n").unwrap(), (0, None));
        assert!(parse("Restart=no\n").is_err());
    }

    #[test]
    fn drop_ins_have_the_names_that_systemd_looks_for() {
        assert_eq!(
            names("unitbox-my-web.service"),
            [
                "unitbox-.service.d",
                "unitbox-my-.service.d",
                "unitbox-my-web.service.d",
                "service.d"
            ]
        );
        assert_eq!(
            names("web@one.service"),
            ["web@.service.d", "web@one.service.d", "service.d"]
        );
        let root = std::env::temp_dir().join(format!("unitbox-drop-ins-{}", std::process::id()));
        assert!(!has_drop_ins(&root, "web.service"));
        fs::create_dir_all(root.join("run/systemd/system/web.service.d")).unwrap();
        assert!(has_drop_ins(&root, "web.service"));
        assert!(!has_drop_ins(&root, "webs.service"));
        fs::remove_dir_all(&root).unwrap();
    }
}
