//! What options of process, environment and /etc come to in the bundle.

use serde_json::{Value, json};

use super::tests::{definition, facts};
use super::*;
use crate::definition::{Options, options};

fn wish(flags: &[(&str, &str)]) -> Options {
    let mut wish = Options::default();
    for (flag, value) in flags {
        let spec = options().find(|spec| spec.flag == *flag).unwrap();
        spec.apply(&mut wish, value).unwrap();
    }
    wish
}

/// The bundle for these flags, an image that sets A and a containers.conf.
fn bundle(command: &[&str], flags: &[(&str, &str)], conf: &str) -> Result<Bundle, DefinitionError> {
    let wish = wish(flags);
    wish.check()?;
    let image = ImageDefaults {
        env: vec!["A=image".to_owned()],
        ..ImageDefaults::default()
    };
    let mut facts = facts(&image, &[]);
    facts.conf = Conf::parse(&format!("[containers]\n{conf}"), "x").unwrap();
    plan(&definition(command, wish), &facts)
}

fn part(flags: &[(&str, &str)], conf: &str, pointer: &str) -> Value {
    let bundle = bundle(&["sh"], flags, conf).unwrap();
    let spec = serde_json::to_value(&bundle.spec).unwrap();
    spec.pointer(pointer).cloned().unwrap_or(Value::Null)
}

fn file(flags: &[(&str, &str)], conf: &str, name: &str) -> Option<String> {
    let bundle = bundle(&["sh"], flags, conf).unwrap();
    let mut files = bundle.etc.into_iter();
    let found = files.find(|(path, _)| path.ends_with(name));
    found.map(|(_, contents)| contents)
}

#[test]
fn environments_are_put_together_as_podman_does() {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let last = ["HOME=/root", "HOSTNAME=abababababab"];
    for (flags, conf, expected) in [
        (&[][..], "", &[path, "container=oci", "A=image"][..]),
        (
            &[("env-merge", "A=$A-${B:-b}"), ("unsetenv", "PATH")],
            "",
            &["container=oci", "A=image-b"],
        ),
        (&[("unsetenv-all", "true"), ("env", "B=1")], "", &["B=1"]),
        (
            &[],
            "env=['A=conf','C=conf']",
            &[path, "container=oci", "A=image", "C=conf"],
        ),
        (
            &[("env", "container=x")],
            "",
            &[path, "container=x", "A=image"],
        ),
    ] {
        let expected: Vec<&str> = expected.iter().chain(&last).copied().collect();
        assert_eq!(
            part(flags, conf, "/process/env"),
            json!(expected),
            "{flags:?}"
        );
    }
    let own = part(
        &[("env", "HOME=/x"), ("env", "HOSTNAME=h")],
        "",
        "/process/env",
    );
    assert_eq!(
        own,
        json!([path, "container=oci", "A=image", "HOME=/x", "HOSTNAME=h"])
    );
}

#[test]
fn options_win_over_containers_conf() {
    let umask = "/process/user/umask";
    assert_eq!(part(&[], "", umask), json!(0o22));
    assert_eq!(part(&[], "umask='077'", umask), json!(0o77));
    assert_eq!(part(&[("umask", "0")], "umask='077'", umask), json!(0));
    let limits = |flags: &[(&str, &str)]| {
        let conf = "default_ulimits=['core=1:2']";
        part(flags, conf, "/process/rlimits/0")
    };
    let limit =
        |name: &str, soft: u64, hard: u64| json!({"type": name, "soft": soft, "hard": hard});
    assert_eq!(limits(&[]), limit("RLIMIT_CORE", 1, 2));
    assert_eq!(
        limits(&[("ulimit", "cpu=5:-1")]),
        limit("RLIMIT_CPU", 5, u64::MAX)
    );
    assert_eq!(
        limits(&[("ulimit", "host,cpu=5")]),
        limit("RLIMIT_NOFILE", 1 << 20, 1 << 20)
    );
    let notes = part(
        &[("annotation", "b=own")],
        "annotations=['a=1','b=2','c']",
        "/annotations",
    );
    assert_eq!(
        (&notes["a"], &notes["b"], &notes["c"]),
        (&json!("1"), &json!("own"), &json!(""))
    );
    let name = |conf| part(&[], conf, "/hostname");
    assert_eq!(name("container_name_as_hostname=true"), "web");
    assert_eq!(part(&[("network", "host")], "", "/hostname"), "lab");
}

/// The texts are Podman's for the same options and files.
#[test]
fn hosts_have_the_users_lines_first() {
    let flags = [
        ("add-host", "a;b:::1"),
        ("add-host", "h:host-gateway"),
        ("add-host", "web:9.9.9.9"),
    ];
    let expected = "::1\ta b\n192.0.2.5\th\n9.9.9.9\tweb\n127.0.0.1\tlocalhost\n192.0.2.9\tbase\n\
                    192.0.2.5\thost.containers.internal host.docker.internal\n127.0.0.1\tabababababab\n";
    assert_eq!(file(&flags, "", "hosts").unwrap(), expected);
    let host = file(&[("network", "host")], "", "hosts").unwrap();
    assert!(host.ends_with("host.docker.internal\n"), "{host}");
    assert_eq!(file(&[("no-hosts", "true")], "", "hosts"), None);
    assert_eq!(file(&[], "no_hosts=true", "hosts"), None);
    assert!(file(&[("no-hosts", "false")], "no_hosts=true", "hosts").is_some());
    assert_eq!(file(&[("no-hostname", "true")], "", "hostname"), None);
    assert_eq!(file(&[("uts", "host")], "", "hostname").unwrap(), "lab\n");
}

#[test]
fn name_servers_are_the_users_or_those_in_reach() {
    let of = |flags: &[(&str, &str)], conf: &str| file(flags, conf, "resolv.conf");
    let host = ("network", "host");
    assert_eq!(of(&[], ""), None);
    let all = "search a.example\nnameserver 127.0.0.9\nnameserver 192.0.2.1\n";
    assert_eq!(of(&[host], "").unwrap(), all);
    let reachable = "search a.example\nnameserver 192.0.2.1\n";
    assert_eq!(of(&[("network", "ns:/x")], "").unwrap(), reachable);
    let own = [
        host,
        ("dns", "::1,192.0.2.7"),
        ("dns-search", "."),
        ("dns-option", "ndots:5"),
    ];
    assert_eq!(
        of(&own, "").unwrap(),
        "nameserver ::1\nnameserver 192.0.2.7\noptions ndots:5\n"
    );
    assert_eq!(of(&[host, ("dns", "none")], ""), None);
    let conf = "dns_servers=['192.0.2.8']\ndns_searches=['c.example']";
    assert_eq!(
        of(&[host], conf).unwrap(),
        "search c.example\nnameserver 192.0.2.8\n"
    );
    assert!(bundle(&["sh"], &[host], "dns_servers=['x\\ny']").is_err());
}

#[test]
fn only_a_privileged_container_is_told_what_it_is() {
    assert_eq!(file(&[], "", ".containerenv").unwrap(), "");
    let told = file(&[("privileged", "true")], "", ".containerenv").unwrap();
    assert!(
        told.contains("name=\"web\"\n") && told.ends_with("rootless=0\n"),
        "{told}"
    );
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    for flags in [
        &[("no-hosts", "true"), ("add-host", "a:1.1.1.1")][..],
        &[("no-hosts", "true"), ("hosts-file", "none")],
        &[("network", "host"), ("dns", "none,1.1.1.1")],
        &[("network", "host"), ("dns-search", ".,a")],
        &[("dns", "1.1.1.1")],
        &[("dns-search", "a")],
        &[("group-add", "keep-groups,5")],
        &[("init", "true"), ("systemd", "always")],
        &[("init", "true"), ("pid", "host")],
    ] {
        let error = bundle(&["sh"], flags, "").expect_err(flags[0].0);
        assert!(error.to_string().contains("together"), "{error}");
    }
}

#[test]
fn systemd_gets_what_it_needs() {
    let spec = |command: &[&str], flags: &[(&str, &str)]| {
        let bundle = bundle(command, flags, "").unwrap();
        let targets: Vec<String> = bundle
            .spec
            .mounts()
            .as_ref()
            .unwrap()
            .iter()
            .map(|mount| {
                format!(
                    "{} {}",
                    mount.destination().display(),
                    mount.options().as_ref().unwrap().join(",")
                )
            })
            .collect();
        (bundle.stop_signal.number(), targets)
    };
    let is_prepared = |command: &[&str], flags: &[(&str, &str)]| {
        let (signal, mounts) = spec(command, flags);
        let tmpfs = "rw,rprivate,nosuid,nodev,tmpcopyup";
        let all = ["/run", "/run/lock", "/tmp", "/var/log/journal"];
        let found = all
            .iter()
            .filter(|target| mounts.contains(&format!("{target} {tmpfs}")));
        let cgroup = mounts.contains(&"/sys/fs/cgroup private,rw".to_owned());
        match (found.count(), cgroup, signal) {
            (4, true, 37) => true,
            (0, false, 15) => false,
            other => panic!("{other:?}"),
        }
    };
    for command in [
        &["/sbin/init"][..],
        &["/lib/systemd/systemd", "x"],
        &["/bin/sh", "-c", "/usr/sbin/init"],
    ] {
        assert!(is_prepared(command, &[]), "{command:?}");
        assert!(!is_prepared(command, &[("systemd", "false")]));
    }
    assert!(!is_prepared(&["init"], &[]));
    assert!(is_prepared(&["sh"], &[("systemd", "always")]));
    assert_eq!(spec(&["/sbin/init"], &[("stop-signal", "HUP")]).0, 1);
    let env = part(&[("systemd", "always")], "", "/process/env").to_string();
    assert!(
        env.contains("container_uuid=abababababababababababababababab\""),
        "{env}"
    );
}
