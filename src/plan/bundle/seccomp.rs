//! The filter of system calls: a profile in the format of Docker and Podman (conditions by architecture, capability and
//! kernel), translated to that of the OCI runtime specification (config-linux.md, seccomp).

use std::collections::HashSet;

use nix::errno::Errno;
use oci_spec::runtime::{
    Arch, Capability, Linux, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::{Deserialize, Deserializer};

use super::{BundleFacts, is_privileged, security};
use crate::definition::{Definition, Seccomp};

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Not JSON, or not what a profile has.
    #[error("not a seccomp profile")]
    Syntax(#[from] serde_json::Error),
    /// Two ways to say the same.
    #[error("seccomp profile has both {0} and {1}")]
    Both(&'static str, &'static str),
    /// A name that errno(3) does not have.
    #[error("seccomp profile: no error is called {0:?}")]
    Errno(String),
}

/// A profile.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    default_errno: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    architectures: Vec<Arch>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arch_map: Vec<Family>,
    #[serde(default, deserialize_with = "null_is_empty")]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    listener_metadata: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    syscalls: Vec<Rule>,
}

/// An architecture, and those whose programs it runs, too.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: Arch,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<Arch>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    errno: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    args: Vec<Argument>,
    #[serde(default)]
    includes: Conditions,
    #[serde(default)]
    excludes: Conditions,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: oci_spec::runtime::LinuxSeccompOperator,
}

/// When a rule holds: on one of the architectures, with all (includes) or any (excludes) of the capabilities.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conditions {
    #[serde(default, deserialize_with = "null_is_empty")]
    arches: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    caps: Vec<String>,
    #[serde(default)]
    min_kernel: String,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Profile {
    /// Reads the JSON of a profile.
    ///
    /// # Errors
    /// It is none, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, SeccompError> {
        let mut profile: Self = serde_json::from_str(text)?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(SeccompError::Both("architectures", "archMap"));
        }
        resolve(&profile.default_errno, &mut profile.default_errno_ret)?;
        for rule in &mut profile.syscalls {
            if !rule.name.is_empty() && !rule.names.is_empty() {
                return Err(SeccompError::Both("name", "names"));
            }
            resolve(&rule.errno, &mut rule.errno_ret)?;
        }
        Ok(profile)
    }

    /// The part of the profile that holds for this machine and these capabilities.
    fn filter(&self, machine: &Machine, bounding: &HashSet<Capability>) -> LinuxSeccomp {
        let own = |family: &&Family| Some(family.architecture) == machine.native;
        let family = self.arch_map.iter().find(own);
        let architectures = match family {
            Some(family) => std::iter::once(family.architecture)
                .chain(family.sub_architectures.iter().copied())
                .collect(),
            None => self.architectures.clone(),
        };
        let held: HashSet<String> = bounding.iter().map(|cap| format!("CAP_{cap}")).collect();
        let rules = self.syscalls.iter();
        let rules = rules.filter(|rule| rule.holds(machine, &held));
        let mut filter = LinuxSeccomp::default();
        filter
            .set_default_action(self.default_action)
            .set_default_errno_ret(self.default_errno_ret)
            .set_architectures(Some(architectures).filter(|list| !list.is_empty()))
            .set_flags(Some(self.flags.clone()).filter(|list| !list.is_empty()))
            .set_syscalls(Some(rules.map(Rule::translated).collect()));
        if !self.listener_path.is_empty() {
            filter
                .set_listener_path(Some(self.listener_path.clone().into()))
                .set_listener_metadata(Some(self.listener_metadata.clone()));
        }
        filter
    }
}

/// A name of an error wins over its number, as Podman has it.
fn resolve(name: &str, number: &mut Option<u32>) -> Result<(), SeccompError> {
    if name.is_empty() {
        return Ok(());
    }
    let called = |number: &i32| format!("{:?}", Errno::from_raw(*number)) == name;
    let found = (1..200)
        .find(called)
        .and_then(|found| u32::try_from(found).ok());
    *number = Some(found.ok_or_else(|| SeccompError::Errno(name.to_owned()))?);
    Ok(())
}

impl Rule {
    fn holds(&self, machine: &Machine, held: &HashSet<String>) -> bool {
        let here = |arches: &[String]| arches.iter().any(|arch| arch == machine.arch);
        let (wanted, unwanted) = (&self.includes, &self.excludes);
        (wanted.arches.is_empty() || here(&wanted.arches))
            && !here(&unwanted.arches)
            && wanted.caps.iter().all(|cap| held.contains(cap))
            && !unwanted.caps.iter().any(|cap| held.contains(cap))
            && (wanted.min_kernel.is_empty() || machine.reaches(&wanted.min_kernel))
            && (unwanted.min_kernel.is_empty() || !machine.reaches(&unwanted.min_kernel))
    }

    fn translated(&self) -> LinuxSyscall {
        let names = match self.name.is_empty() {
            true => self.names.clone(),
            false => vec![self.name.clone()],
        };
        let args: Vec<LinuxSeccompArg> = self.args.iter().map(Argument::translated).collect();
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(Some(args).filter(|args| !args.is_empty()));
        syscall
    }
}

impl Argument {
    fn translated(&self) -> LinuxSeccompArg {
        let arg = LinuxSeccompArgBuilder::default()
            .index(self.index)
            .value(self.value)
            .op(self.op);
        let arg = match self.value_two {
            0 => arg,
            two => arg.value_two(two),
        };
        arg.build().expect("every field has a default")
    }
}

/// What conditions are about.
struct Machine {
    /// The architecture as profiles call it.
    arch: &'static str,
    /// The same in the OCI specification.
    native: Option<Arch>,
    /// Major and minor number of the kernel.
    kernel: (u32, u32),
}

impl Machine {
    fn this(kernel: (u32, u32)) -> Self {
        let (arch, native) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", Some(Arch::ScmpArchX86_64)),
            "x86" => ("x86", Some(Arch::ScmpArchX86)),
            "aarch64" => ("arm64", Some(Arch::ScmpArchAarch64)),
            "arm" => ("arm", Some(Arch::ScmpArchArm)),
            "powerpc64" => ("ppc64le", Some(Arch::ScmpArchPpc64le)),
            "s390x" => ("s390x", Some(Arch::ScmpArchS390x)),
            "riscv64" => ("riscv64", Some(Arch::ScmpArchRiscv64)),
            other => (other, None),
        };
        Self {
            arch,
            native,
            kernel,
        }
    }

    fn reaches(&self, version: &str) -> bool {
        let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
        let wanted = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.kernel >= wanted
    }
}

/// Whether a container gets a filter.
fn is_wanted(definition: &Definition, facts: &BundleFacts) -> bool {
    let isolation = &definition.options.isolation;
    match isolation.seccomp {
        Some(Seccomp::File(_)) => true,
        Some(Seccomp::Unconfined) => false,
        None => {
            let conf = &facts.conf;
            let off = conf.containers.seccomp_profile.as_deref() == Some("unconfined");
            !off && !is_privileged(definition, conf)
        }
    }
}

pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) {
    if !is_wanted(definition, facts) {
        return;
    }
    let Some(profile) = &facts.isolation.seccomp else {
        let text = "no seccomp profile in /etc/containers or /usr/share/containers: container runs without a filter of system calls";
        warnings.push(text.to_owned());
        return;
    };
    let bounding = security::bounding(definition, facts);
    let machine = Machine::this(facts.isolation.kernel);
    linux.set_seccomp(Some(profile.filter(&machine, &bounding)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn filter(profile: &Value, caps: &[Capability]) -> Value {
        let profile = Profile::parse(&profile.to_string()).unwrap();
        let machine = Machine {
            arch: "amd64",
            native: Some(Arch::ScmpArchX86_64),
            kernel: (5, 14),
        };
        let caps = caps.iter().copied().collect();
        serde_json::to_value(profile.filter(&machine, &caps)).unwrap()
    }

    fn rule(name: &str, includes: Value, excludes: Value) -> Value {
        json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": null,
            "includes": includes, "excludes": excludes})
    }

    #[test]
    fn a_profile_becomes_the_filter_of_one_container() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "ENOSYS",
            "archMap": [
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            ],
            "syscalls": [
                {"name": "personality", "action": "SCMP_ACT_ALLOW", "comment": "",
                 "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "args": [], "errnoRet": 22, "errno": "EPERM"},
            ],
        });
        let expected = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
                {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            ],
        });
        assert_eq!(filter(&profile, &[]), expected);
    }

    #[test]
    fn a_rule_holds_under_its_conditions_only() {
        let names = |includes: Value, excludes: Value, caps: &[Capability]| {
            let profile = json!({"defaultAction": "SCMP_ACT_ERRNO",
                "syscalls": [rule("x", includes, excludes)]});
            filter(&profile, caps)["syscalls"].as_array().unwrap().len()
        };
        let (none, admin) = (&[][..], &[Capability::SysAdmin][..]);
        let both = &[Capability::SysAdmin, Capability::Bpf][..];
        let caps = json!({"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]});
        for (includes, excludes, caps, expected) in [
            (json!({}), json!({}), none, 1),
            (caps.clone(), json!({}), admin, 0),
            (caps.clone(), json!({}), both, 1),
            (json!({}), caps.clone(), none, 1),
            (json!({}), caps, admin, 0),
            (json!({"arches": ["arm64"]}), json!({}), none, 0),
            (json!({"arches": ["arm64", "amd64"]}), json!({}), none, 1),
            (json!({}), json!({"arches": ["amd64"]}), none, 0),
            (json!({"minKernel": "5.14"}), json!({}), none, 1),
            (json!({"minKernel": "5.15"}), json!({}), none, 0),
            (json!({}), json!({"minKernel": "4.8"}), none, 0),
        ] {
            let got = names(includes.clone(), excludes.clone(), caps);
            assert_eq!(got, expected, "{includes} {excludes} {caps:?}");
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        for bad in [
            "[]",
            "{",
            // Not an action, not even to allow all.
            "{}",
            r#"{"defaultAction": "SCMP_ACT_NONSENSE"}"#,
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENONSENSE"}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]}"#,
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#,
        ] {
            assert!(Profile::parse(bad).is_err(), "{bad}");
        }
    }
}
