//! Namespaces, capabilities, labels and everything else that keeps a payload apart.

use super::OptionSpec;
use super::parse::{Done, absolute, clean, shown, shown_one, switch};
use crate::definition::{
    CapabilityWish, Namespace, Options, Seccomp, SeccompPolicy, parse_capability, parse_sysctl,
};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::many(
        "cap-add",
        "CAPABILITY",
        "Add a capability to the default set; ALL adds all",
        |options, value| capabilities(&mut options.isolation.cap_add, value),
        |options| shown_capabilities(&options.isolation.cap_add),
    )
    .key("AddCapability"),
    OptionSpec::many(
        "cap-drop",
        "CAPABILITY",
        "Drop a capability from the default set; ALL drops all",
        |options, value| capabilities(&mut options.isolation.cap_drop, value),
        |options| shown_capabilities(&options.isolation.cap_drop),
    )
    .key("DropCapability"),
    OptionSpec::one(
        "cgroupns",
        "MODE",
        "Cgroup namespace: private, host, container:NAME or ns:PATH",
        |options, value| mode(&mut options.isolation.cgroup, value),
        |options| shown_one(options.isolation.cgroup.as_ref()),
    ),
    OptionSpec::one(
        "ipc",
        "MODE",
        "IPC namespace: shareable, private, none (without /dev/shm), host, container:NAME or ns:PATH",
        |options, value| {
            options.isolation.ipc = Some(value.parse()?);
            Ok(())
        },
        |options| shown_one(options.isolation.ipc.as_ref()),
    ),
    OptionSpec::one(
        "pid",
        "MODE",
        "PID namespace: private, host, container:NAME or ns:PATH",
        |options, value| mode(&mut options.isolation.pid, value),
        |options| shown_one(options.isolation.pid.as_ref()),
    ),
    OptionSpec::switch(
        "privileged",
        "Do not confine the container: all capabilities, all devices, no filters",
        |options, value| switch(&mut options.isolation.privileged, value),
        |options| shown(options.isolation.privileged),
    ),
    OptionSpec::one(
        "seccomp-policy",
        "POLICY",
        "Where the profile of system calls comes from: default or image",
        seccomp_policy,
        |options| match options.isolation.seccomp_policy {
            SeccompPolicy::Default => Vec::new(),
            SeccompPolicy::Image => vec!["image".to_owned()],
        },
    ),
    OptionSpec::many(
        "security-opt",
        "OPTION",
        "no-new-privileges, seccomp=, label=, apparmor=, mask=, unmask=, proc-opts= or systempaths=unconfined",
        security,
        shown_security,
    ),
    OptionSpec::many(
        "sysctl",
        "NAME=VALUE",
        "Set a kernel parameter of the container's own namespaces",
        sysctl,
        |options| {
            let sysctls = options.isolation.sysctls.iter();
            sysctls
                .map(|(key, value)| format!("{key}={value}"))
                .collect()
        },
    )
    .key("Sysctl"),
    OptionSpec::one(
        "uts",
        "MODE",
        "UTS namespace: private, host, container:NAME or ns:PATH",
        |options, value| mode(&mut options.isolation.uts, value),
        |options| shown_one(options.isolation.uts.as_ref()),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("cap-add", "net_admin,CAP_SYS_TIME"),
    ("cap-add", "all"),
    ("cap-drop", "ALL"),
    ("cgroupns", "host"),
    ("ipc", "none"),
    ("ipc", "shareable"),
    ("ipc", "ns:/proc/1/ns/ipc"),
    ("pid", "host"),
    ("privileged", "true"),
    ("seccomp-policy", "image"),
    ("security-opt", "seccomp=unconfined"),
    ("security-opt", "seccomp=/etc/x.json"),
    ("security-opt", "no-new-privileges"),
    ("security-opt", "no-new-privileges=false"),
    ("security-opt", "apparmor=unconfined"),
    ("security-opt", "label=type:spc_t"),
    ("security-opt", "label=level:s0:c1,c2"),
    ("security-opt", "mask=/proc/a:/proc/b"),
    ("security-opt", "unmask=ALL"),
    ("security-opt", "unmask=/proc/*:/sys/firmware"),
    ("security-opt", "systempaths=unconfined"),
    ("security-opt", "proc-opts=hidepid=2,gid=5"),
    ("sysctl", "net.ipv4.ip_forward=1"),
    ("sysctl", "kernel.sem=1 2 3 4"),
    ("uts", "ns:/run/x"),
];

/// A namespace that is neither shared by name nor without a part.
fn mode(field: &mut Option<Namespace>, value: &str) -> Done {
    let namespace = value.parse()?;
    if matches!(namespace, Namespace::Shareable | Namespace::WithoutShm) {
        return Err("not private, host, container:NAME or ns:PATH".to_owned());
    }
    *field = Some(namespace);
    Ok(())
}

fn capabilities(wish: &mut CapabilityWish, value: &str) -> Done {
    for word in value.split(',') {
        if word.trim().eq_ignore_ascii_case("all") {
            wish.all = true;
            continue;
        }
        let capability = parse_capability(word)?;
        if !wish.named.contains(&capability) {
            wish.named.push(capability);
        }
    }
    Ok(())
}

fn shown_capabilities(wish: &CapabilityWish) -> Vec<String> {
    let all = wish.all.then(|| "ALL".to_owned());
    all.into_iter()
        .chain(wish.named.iter().map(ToString::to_string))
        .collect()
}

/// `KEY=VALUE`, or with a colon as Docker had it.
fn security(options: &mut Options, value: &str) -> Done {
    let isolation = &mut options.isolation;
    let pair = value.split_once('=').or_else(|| value.split_once(':'));
    let Some((key, value)) = pair else {
        if value == "no-new-privileges" {
            isolation.no_new_privileges = true;
            return Ok(());
        }
        return Err("not KEY=VALUE".to_owned());
    };
    match key {
        "no-new-privileges" => switch(&mut isolation.no_new_privileges, value),
        "mask" => {
            for path in value.split(':') {
                if !path.starts_with('/') {
                    return Err(format!("{path:?} is not an absolute path"));
                }
                isolation.mask.push(clean(path)?);
            }
            Ok(())
        }
        "unmask" => {
            let patterns = value.split(':');
            if !patterns
                .clone()
                .all(|path| is_all(path) || path.starts_with('/'))
            {
                return Err("neither ALL nor absolute paths".to_owned());
            }
            isolation.unmask.extend(patterns.map(str::to_owned));
            clean(value).map(drop)
        }
        "systempaths" if value == "unconfined" => {
            isolation.unmask.push("ALL".to_owned());
            Ok(())
        }
        "systempaths" => Err("only systempaths=unconfined is known".to_owned()),
        "proc-opts" => {
            isolation.proc_options = clean(value)?.split(',').map(str::to_owned).collect();
            Ok(())
        }
        "seccomp" if value == "unconfined" => {
            isolation.seccomp = Some(Seccomp::Unconfined);
            Ok(())
        }
        "seccomp" => {
            let path = absolute(value).map_err(|_| "neither unconfined nor an absolute path")?;
            isolation.seccomp = Some(Seccomp::File(path));
            Ok(())
        }
        "apparmor" => {
            isolation.apparmor = Some(clean(value)?).filter(|name| !name.is_empty());
            Ok(())
        }
        "label" => {
            isolation.label.push(clean(value)?);
            Ok(())
        }
        _ => Err("no such security option".to_owned()),
    }
}

fn is_all(pattern: &str) -> bool {
    pattern.eq_ignore_ascii_case("all")
}

fn shown_security(options: &Options) -> Vec<String> {
    let isolation = &options.isolation;
    let mut shown = Vec::new();
    if isolation.no_new_privileges {
        shown.push("no-new-privileges".to_owned());
    }
    match &isolation.seccomp {
        Some(Seccomp::Unconfined) => shown.push("seccomp=unconfined".to_owned()),
        Some(Seccomp::File(path)) => shown.push(format!("seccomp={path}")),
        None => {}
    }
    let apparmor = isolation.apparmor.iter();
    shown.extend(apparmor.map(|name| format!("apparmor={name}")));
    shown.extend(isolation.label.iter().map(|text| format!("label={text}")));
    shown.extend(isolation.mask.iter().map(|path| format!("mask={path}")));
    let unmask = isolation.unmask.iter();
    shown.extend(unmask.map(|pattern| format!("unmask={pattern}")));
    if !isolation.proc_options.is_empty() {
        shown.push(format!("proc-opts={}", isolation.proc_options.join(",")));
    }
    shown
}

fn seccomp_policy(options: &mut Options, value: &str) -> Done {
    options.isolation.seccomp_policy = match value {
        "" | "default" => SeccompPolicy::Default,
        "image" => SeccompPolicy::Image,
        _ => return Err("neither default nor image".to_owned()),
    };
    Ok(())
}

fn sysctl(options: &mut Options, value: &str) -> Done {
    let (key, value) = parse_sysctl(value)?;
    options.isolation.sysctls.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_of_the_host_cannot_be_reached() {
        for bad in [
            "kernel.core_pattern=|/x",
            "kernel.shm_rmid_forced=1+kernel.core_pattern=|/x"
                .trim_start_matches("kernel.shm_rmid_forced=1+"),
            "kernel.shm_rmid_forced+kernel.core_pattern=1",
            "net/../kernel/core_pattern=x",
            "net...kernel.core_pattern=x",
            "net.ipv4.x\n=1",
            "net.ipv4.x=1\n2",
            "net.ipv4.x =1",
            "net.ipv4.x= 1",
            "Net.ipv4.x=1",
            "kernel.hostname=x",
            "vm.swappiness=1",
            "net.=1",
            "=1",
            "net.ipv4.x",
        ] {
            assert!(sysctl(&mut Options::default(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_capability_is_known_by_both_of_its_names() {
        let parse = |value: &str| {
            let mut wish = CapabilityWish::default();
            capabilities(&mut wish, value).map(|()| wish)
        };
        assert_eq!(parse("CAP_NET_RAW"), parse("net_raw"));
        assert!(parse("CAP_ALL").is_err());
        assert!(parse("CAP_CAP_KILL").is_err());
        assert!(parse("").is_err());
        assert!(parse("NOT_ONE").unwrap_err().contains("NOT_ONE"));
    }

    #[test]
    fn unknown_security_options_are_refused() {
        for bad in [
            "no-such=1",
            "nonsense",
            "mask=relative",
            "unmask=",
            "systempaths=all",
        ] {
            assert!(security(&mut Options::default(), bad).is_err(), "{bad}");
        }
    }
}
