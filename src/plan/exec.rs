//! Another process in a container that runs: the container's own, as far as nobody wants it otherwise.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process, User};

use super::bundle::UserFacts;
use crate::definition::Options;

/// What the plan must know.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecFacts {
    /// The user that was asked for, looked up; none: the container's own.
    pub user: Option<UserFacts>,
    /// Home directory of the container's own user.
    pub own_home: String,
    /// What a privileged process gets; none: it is not privileged.
    pub privileged: Option<HashSet<Capability>>,
    /// Rows and columns of the terminal that it is shown on.
    pub console: Option<(u16, u16)>,
}

/// Plans the process from that of config.json. Of the options those count that are said of a process: command,
/// environment, user, working directory, terminal.
pub fn process(
    base: &Process,
    options: &Options,
    command: &[String],
    facts: &ExecFacts,
) -> Process {
    let mut process = base.clone();
    process
        .set_terminal(Some(options.tty))
        .set_console_size(None)
        .set_args(Some(command.to_vec()))
        .set_env(Some(environment(base, options, facts)));
    if let (true, Some((rows, columns))) = (options.tty, facts.console) {
        let size = serde_json::json!({"height": rows, "width": columns});
        // The type of the size has no setter of its own.
        let size = serde_json::from_value(size).expect("two numbers are a size");
        process.set_console_size(Some(size));
    }
    if let Some(dir) = &options.workdir {
        process.set_cwd(dir.into());
    }
    let own = base.user().uid();
    if let Some(wanted) = &facts.user {
        let mut user = User::default();
        user.set_uid(wanted.uid)
            .set_gid(wanted.gid)
            .set_umask(base.user().umask())
            .set_additional_gids(Some(wanted.groups.clone()).filter(|groups| !groups.is_empty()));
        process.set_user(user);
    }
    let uid = process.user().uid();
    if uid != own || facts.privileged.is_some() {
        process.set_capabilities(Some(capabilities(base, uid, facts)));
    }
    process
}

/// Root has its bounding set; another user than the container's nothing at all.
fn capabilities(base: &Process, uid: u32, facts: &ExecFacts) -> LinuxCapabilities {
    let own = base.capabilities().as_ref();
    let own = own.and_then(|sets| sets.bounding().clone());
    let bounding = facts.privileged.clone().or(own).unwrap_or_default();
    let effective = match uid {
        0 => bounding.clone(),
        _ => HashSet::new(),
    };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding))
        .set_effective(Some(effective.clone()))
        .set_permitted(Some(effective))
        .set_inheritable(None)
        .set_ambient(None);
    sets
}

fn environment(base: &Process, options: &Options, facts: &ExecFacts) -> Vec<String> {
    let mut env = base.env().clone().unwrap_or_default();
    let set = |env: &mut Vec<String>, name: &str, value: &str| {
        let text = format!("{name}={value}");
        let is = |own: &&mut String| own.split_once('=').is_some_and(|(other, _)| other == name);
        match env.iter_mut().find(is) {
            Some(own) => *own = text,
            None => env.push(text),
        }
    };
    let has = |env: &[String], name: &str| {
        let mut names = env.iter().filter_map(|own| own.split_once('='));
        names.any(|(other, _)| other == name)
    };
    // The container's own home was made up for its user, unless somebody chose it.
    if let Some(user) = &facts.user
        && env.contains(&format!("HOME={}", facts.own_home))
    {
        set(&mut env, "HOME", user.home.as_deref().unwrap_or("/"));
    }
    if options.tty && !has(&env, "TERM") {
        env.push("TERM=xterm".to_owned());
    }
    for (name, value) in &options.env {
        set(&mut env, name, value);
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Process {
        let text = r#"{"terminal": true, "consoleSize": {"height": 1, "width": 2}, "user": {"uid": 5, "gid": 6,
            "umask": 18, "additionalGids": [6, 7]}, "args": ["sh"], "env": ["PATH=/bin", "HOME=/five", "A=1"], "cwd": "/w",
            "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"], "permitted":
            ["CAP_KILL"], "ambient": ["CAP_KILL"], "inheritable": ["CAP_KILL"]}, "noNewPrivileges": true,
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}], "apparmorProfile": "p"}"#;
        serde_json::from_str(text).unwrap()
    }

    fn user(uid: u32) -> UserFacts {
        UserFacts {
            uid,
            gid: 9,
            groups: vec![9, 10],
            home: Some("/nine".to_owned()),
        }
    }

    fn planned(options: &Options, facts: ExecFacts) -> Process {
        let facts = ExecFacts {
            own_home: "/five".to_owned(),
            ..facts
        };
        process(&base(), options, &["id".to_owned()], &facts)
    }

    #[test]
    fn without_wishes_it_is_the_containers_own_without_its_terminal() {
        let is = planned(&Options::default(), ExecFacts::default());
        let mut wanted = base();
        wanted
            .set_terminal(Some(false))
            .set_console_size(None)
            .set_args(Some(vec!["id".to_owned()]));
        assert_eq!(is, wanted);
    }

    #[test]
    fn another_user_has_its_own_groups_home_and_no_capabilities() {
        for (uid, effective) in [(8, 0), (0, 2)] {
            let facts = ExecFacts {
                user: Some(user(uid)),
                ..ExecFacts::default()
            };
            let is = planned(&Options::default(), facts);
            assert_eq!((is.user().uid(), is.user().gid()), (uid, 9));
            assert_eq!(is.user().additional_gids(), &Some(vec![9, 10]));
            assert_eq!(is.user().umask(), Some(18));
            assert!(
                is.env()
                    .as_ref()
                    .unwrap()
                    .contains(&"HOME=/nine".to_owned())
            );
            let sets = is.capabilities().clone().unwrap();
            assert_eq!(sets.bounding().as_ref().unwrap().len(), 2);
            assert_eq!(sets.effective().as_ref().unwrap().len(), effective);
            assert_eq!((sets.ambient(), sets.inheritable()), (&None, &None));
            assert_eq!(
                (is.no_new_privileges(), is.rlimits()),
                (Some(true), base().rlimits())
            );
        }
        // A home that somebody chose stays.
        let mut chosen = base();
        chosen.set_env(Some(vec!["HOME=/chosen".to_owned()]));
        let facts = ExecFacts {
            user: Some(user(8)),
            own_home: "/five".to_owned(),
            ..ExecFacts::default()
        };
        let is = process(&chosen, &Options::default(), &[], &facts);
        assert_eq!(is.env(), chosen.env());
    }

    #[test]
    fn privileged_means_all_that_the_host_has_for_root() {
        let all: HashSet<Capability> = [Capability::SysAdmin, Capability::Kill].into();
        let facts = ExecFacts {
            privileged: Some(all.clone()),
            ..ExecFacts::default()
        };
        let sets = planned(&Options::default(), facts)
            .capabilities()
            .clone()
            .unwrap();
        assert_eq!(sets.bounding(), &Some(all));
        assert_eq!(sets.effective(), &Some(HashSet::new()));
    }

    #[test]
    fn wishes_are_laid_over_it() {
        let options = Options {
            tty: true,
            workdir: Some("/v".to_owned()),
            env: vec![
                ("A".to_owned(), "2".to_owned()),
                ("B".to_owned(), "x=y".to_owned()),
            ],
            ..Options::default()
        };
        let facts = ExecFacts {
            console: Some((24, 80)),
            ..ExecFacts::default()
        };
        let is = planned(&options, facts);
        let env = ["PATH=/bin", "HOME=/five", "A=2", "TERM=xterm", "B=x=y"].map(str::to_owned);
        assert_eq!(is.env(), &Some(env.to_vec()));
        assert_eq!(is.cwd().to_str(), Some("/v"));
        let size = is.console_size().unwrap();
        assert_eq!(
            (is.terminal(), size.height(), size.width()),
            (Some(true), 24, 80)
        );
    }
}
