//! Labels of SELinux (selinux(8)), pure: contexts, what a policy says of containers, wishes, pairs of categories.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// A security context; the level may be empty, where the policy has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    user: String,
    role: String,
    kind: String,
    level: String,
}

impl Context {
    /// Its level: sensitivity and categories.
    pub fn level(&self) -> &str {
        &self.level
    }

    /// The same with another level; one without a level keeps none.
    pub fn at(&self, level: &str) -> Self {
        let mut own = self.clone();
        if !own.level.is_empty() {
            level.clone_into(&mut own.level);
        }
        own
    }

    /// The same with another type.
    pub fn of_type(&self, kind: &str) -> Self {
        let kind = kind.to_owned();
        Self {
            kind,
            ..self.clone()
        }
    }

    /// For files that every container may use.
    pub fn shared(&self) -> Self {
        self.at(BOTTOM)
    }

    /// As options that give another process the same context.
    pub fn as_options(&self) -> [String; 4] {
        let Self {
            user,
            role,
            kind,
            level,
        } = self;
        [
            ("user", user),
            ("role", role),
            ("type", kind),
            ("level", level),
        ]
        .map(|(key, value)| format!("{key}:{value}"))
    }
}

impl fmt::Display for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.user, self.role, self.kind)?;
        match self.level.as_str() {
            "" => Ok(()),
            level => write!(out, ":{level}"),
        }
    }
}

impl FromStr for Context {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        let mut part = || {
            let next = parts.next().filter(|part| !part.is_empty());
            next.ok_or_else(|| format!("{text:?} is no context of SELinux"))
        };
        Ok(Self {
            user: part()?,
            role: part()?,
            kind: part()?,
            level: part().unwrap_or_default(),
        })
    }
}

/// The option that shows the payload the files of SELinux, so that it can label containers of its own.
pub const NESTED: &str = "nested";
/// The level of what belongs to no container, or to all.
const BOTTOM: &str = "s0";
/// That of the files of containers without a label: no pair that is drawn ever meets it.
const PRIVILEGED: (u32, u32) = (CATEGORIES - 2, CATEGORIES - 1);
/// Categories of the usual policies: c0 to c1023.
const CATEGORIES: u32 = 1024;

/// What a policy says of containers, without categories (`lxc_contexts`, selinux_lxc_contexts_path(3)).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contexts {
    process: Context,
    file: Context,
    init: Option<Context>,
}

impl Contexts {
    /// Reads the text of the file; what it lacks is as in the policy container-selinux.
    ///
    /// # Errors
    /// One of the contexts is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let find = |key: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            let (_, value) = pairs.find(|(own, _)| own.trim() == key)?;
            Some(value.trim().trim_matches('"').parse())
        };
        let usual = |text: &str| text.parse();
        Ok(Self {
            process: find("process")
                .unwrap_or_else(|| usual("system_u:system_r:container_t:s0"))?,
            file: find("file").unwrap_or_else(|| usual("system_u:object_r:container_file_t:s0"))?,
            init: find("init_process").transpose()?,
        })
    }
}

/// What a user wants to be different: the options behind `label=`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LabelWish {
    disable: bool,
    user: Option<String>,
    role: Option<String>,
    kind: Option<String>,
    level: Option<String>,
    file_type: Option<String>,
}

impl LabelWish {
    /// Reads the options; a later one wins.
    ///
    /// # Errors
    /// One of them is none; the reason is text.
    pub fn parse<T: AsRef<str>>(options: &[T]) -> Result<Self, String> {
        let mut wish = Self::default();
        for option in options {
            let option = option.as_ref();
            match option {
                "disable" => {
                    wish.disable = true;
                    continue;
                }
                NESTED => continue,
                _ => {}
            }
            let (key, value) = option.split_once(':').unwrap_or((option, ""));
            let field = match key {
                "user" => &mut wish.user,
                "role" => &mut wish.role,
                "type" => &mut wish.kind,
                "level" => &mut wish.level,
                "filetype" => &mut wish.file_type,
                _ => {
                    return Err(format!(
                        "label={option}: not disable, nested, user:, role:, type:, level: or filetype:"
                    ));
                }
            };
            if value.is_empty() || (key != "level" && value.contains(':')) {
                return Err(format!("label={option}: no {key} behind the colon"));
            }
            *field = Some(value.to_owned());
        }
        Ok(wish)
    }

    /// Whether the process gets no label.
    pub fn is_disabled(&self) -> bool {
        self.disable
    }

    /// The level that is wanted.
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }
}

/// The labels of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labels {
    /// Of its processes; none: what the policy gives them.
    pub process: Option<Context>,
    /// Of its files.
    pub mount: Context,
    /// The type of its processes if the first one is systemd.
    init: Option<String>,
}

impl Labels {
    /// The labels that a wish comes to, at this level unless it wants one.
    pub fn of(contexts: &Contexts, wish: &LabelWish, level: &str) -> Self {
        if wish.disable {
            let (first, second) = PRIVILEGED;
            return Self {
                process: None,
                mount: contexts.file.at(&pair(first, second)),
                init: None,
            };
        }
        let level = wish.level.as_deref().unwrap_or(level);
        let change = |field: &mut String, wish: &Option<String>| {
            if let Some(wish) = wish {
                field.clone_from(wish);
            }
        };
        let mut process = contexts.process.at(level);
        change(&mut process.user, &wish.user);
        change(&mut process.role, &wish.role);
        change(&mut process.kind, &wish.kind);
        let mut mount = contexts.file.at(level);
        change(&mut mount.user, &wish.user);
        change(&mut mount.kind, &wish.file_type);
        Self {
            process: Some(process),
            mount,
            init: contexts.init.as_ref().map(|context| context.kind.clone()),
        }
    }

    /// The label of the first process.
    pub fn first_process(&self, systemd: bool) -> Option<Context> {
        let process = self.process.as_ref()?;
        Some(match &self.init {
            Some(init) if systemd => process.of_type(init),
            _ => process.clone(),
        })
    }
}

fn pair(first: u32, second: u32) -> String {
    format!("{BOTTOM}:c{first},c{second}")
}

/// A level with two categories that no other container has, found from a random number; none if all are taken. Two
/// different pairs never include one another.
pub fn free_level(random: u32, taken: &HashSet<String>) -> Option<String> {
    free_of(CATEGORIES, random, taken)
}

fn free_of(categories: u32, random: u32, taken: &HashSet<String>) -> Option<String> {
    let all = categories * categories;
    let pairs = (0..all).map(|step| random.wrapping_add(step) % all);
    let mut pairs = pairs.map(|number| (number / categories, number % categories));
    pairs.find_map(|(one, other)| {
        let (first, second) = (one.min(other), one.max(other));
        let level = pair(first, second);
        let good = first < second && (first, second) != PRIVILEGED;
        (good && !taken.contains(&level)).then_some(level)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(options: &[&str]) -> Labels {
        let contexts = Contexts::parse("").unwrap();
        Labels::of(&contexts, &LabelWish::parse(options).unwrap(), "s0:c1,c2")
    }

    fn shown(labels: &Labels) -> (String, String) {
        let process = labels.process.as_ref().map(ToString::to_string);
        (process.unwrap_or_default(), labels.mount.to_string())
    }

    #[test]
    fn options_change_the_part_that_they_name() {
        let table = [
            (
                &[][..],
                "system_u:system_r:container_t:s0:c1,c2",
                "system_u:object_r:container_file_t:s0:c1,c2",
            ),
            (
                &["type:x_t"],
                "system_u:system_r:x_t:s0:c1,c2",
                "system_u:object_r:container_file_t:s0:c1,c2",
            ),
            (
                &["filetype:y_t"],
                "system_u:system_r:container_t:s0:c1,c2",
                "system_u:object_r:y_t:s0:c1,c2",
            ),
            (
                &["level:s0:c7,c9"],
                "system_u:system_r:container_t:s0:c7,c9",
                "system_u:object_r:container_file_t:s0:c7,c9",
            ),
            (
                &["level:s0-s0:c0.c1023"],
                "system_u:system_r:container_t:s0-s0:c0.c1023",
                "system_u:object_r:container_file_t:s0-s0:c0.c1023",
            ),
            (
                &["user:u_u", "role:r_r"],
                "u_u:r_r:container_t:s0:c1,c2",
                "u_u:object_r:container_file_t:s0:c1,c2",
            ),
            (
                &["type:a_t", "type:b_t"],
                "system_u:system_r:b_t:s0:c1,c2",
                "system_u:object_r:container_file_t:s0:c1,c2",
            ),
            (
                &["disable"],
                "",
                "system_u:object_r:container_file_t:s0:c1022,c1023",
            ),
            (
                &["type:x_t", "disable"],
                "",
                "system_u:object_r:container_file_t:s0:c1022,c1023",
            ),
        ];
        for (options, process, mount) in table {
            let (own_process, own_mount) = shown(&labels(options));
            assert_eq!(
                (own_process.as_str(), own_mount.as_str()),
                (process, mount),
                "{options:?}"
            );
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for bad in [
            "", "foo", "foo:bar", "type", "type:", "type:a:b", "Disable", "level:",
        ] {
            assert!(LabelWish::parse(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_policy_names_its_own_types() {
        let text = "process = \"a_u:a_r:a_t:s0\"\ncontent = \"x\"\n\nfile=\"b_u:object_r:b_t:s0\"\ninit_process = \"a_u:a_r:init_t:s0\"\n";
        let contexts = Contexts::parse(text).unwrap();
        let labels = Labels::of(&contexts, &LabelWish::default(), "s0:c3,c4");
        assert_eq!(
            shown(&labels),
            (
                "a_u:a_r:a_t:s0:c3,c4".to_owned(),
                "b_u:object_r:b_t:s0:c3,c4".to_owned()
            )
        );
        let first = |systemd| labels.first_process(systemd).unwrap().to_string();
        assert_eq!(first(true), "a_u:a_r:init_t:s0:c3,c4");
        assert_eq!(first(false), "a_u:a_r:a_t:s0:c3,c4");
        assert_eq!(labels.mount.shared().to_string(), "b_u:object_r:b_t:s0");
        assert!(Contexts::parse("process = \"a_t\"").is_err());
        // A policy without levels.
        let flat = Contexts::parse("process = \"a:b:c\"\nfile = \"a:b:d\"").unwrap();
        let labels = Labels::of(&flat, &LabelWish::default(), "s0:c3,c4");
        assert_eq!(shown(&labels), ("a:b:c".to_owned(), "a:b:d".to_owned()));
    }

    #[test]
    fn who_joins_gets_the_same_label() {
        let owner = labels(&["type:x_t"]).process.unwrap();
        let options = owner.as_options();
        let wish = LabelWish::parse(&options).unwrap();
        let contexts = Contexts::parse("").unwrap();
        assert_eq!(
            Labels::of(&contexts, &wish, "s0:c5,c6").process,
            Some(owner)
        );
    }

    #[test]
    fn no_two_containers_have_the_same_categories() {
        let mut taken = HashSet::new();
        for random in [0, 1, 1024, u32::MAX, 0, 0, 1022 * 1024 + 1023, 7, 7] {
            let level = free_level(random, &taken).unwrap();
            let (first, second) = level
                .strip_prefix("s0:c")
                .unwrap()
                .split_once(",c")
                .unwrap();
            let (first, second): (u32, u32) = (first.parse().unwrap(), second.parse().unwrap());
            assert!(first < second && second < 1024, "{level}");
            assert_ne!(level, "s0:c1022,c1023");
            assert!(taken.insert(level.clone()), "{level} twice");
        }
    }

    #[test]
    fn all_categories_can_be_taken() {
        let mut taken = HashSet::new();
        for first in 0..16 {
            taken.extend((first + 1..16).map(|second| pair(first, second)));
        }
        assert_eq!(free_of(16, 5, &taken), None);
        taken.remove("s0:c5,c6");
        let free = free_of(16, u32::MAX, &taken);
        assert_eq!(free.as_deref(), Some("s0:c5,c6"));
    }
}
