//! A program in the namespaces of another process, with what is to confine it (namespaces(7), capabilities(7), seccomp(2)).

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{self, Gid, Uid};

use super::process::{Child, Pidfd};
use super::worker::fork_worker;
use super::{check, invalid, move_data, signals};

/// Sets of capabilities; each bit is one, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// What no program can get any more.
    pub bounding: u64,
    /// What is checked.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What a program with such a file capability keeps.
    pub inheritable: u64,
    /// What any program keeps.
    pub ambient: u64,
}

/// The program, in the words of where it is to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entrant {
    /// With the program's name, which is looked for in PATH of `env` if it has no slash.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
    /// Its umask; none: this process's.
    pub umask: Option<u32>,
    /// What it may.
    pub capabilities: Capabilities,
    /// Soft and hard limits.
    pub limits: Vec<(Resource, u64, u64)>,
    /// Nothing that it executes gives it more (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// The instructions of a filter of its system calls, as seccomp(2) takes them.
    pub filter: Option<Vec<u8>>,
    /// Its badness for the OOM killer; none: this process's.
    pub oom_score_adj: Option<i32>,
    /// A file below /proc/self/attr and what is written there: the label that it gets by its execution.
    pub label: Option<(PathBuf, String)>,
    /// Its cgroup, a directory.
    pub group: PathBuf,
}

/// The namespaces that another process may have besides ours.
const KINDS: [(&str, CloneFlags); 7] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
];

/// What is done between fork and exec, for messages.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Step {
    Group,
    OomScore,
    Label,
    Descriptors,
    Limits,
    Namespaces,
    Filter,
    User,
    Capabilities,
    Directory,
    Privileges,
    Program,
}

const STEPS: [&str; 12] = [
    "join the cgroup",
    "set oom_score_adj",
    "set the label",
    "move the file descriptors",
    "set limits",
    "join the namespaces",
    "set the filter of system calls",
    "become the user",
    "set capabilities",
    "change the working directory",
    "set no_new_privs",
    "run the program",
];

type Failure = (Step, io::Error);

fn at<E: Into<io::Error>>(step: Step) -> impl Fn(E) -> Failure {
    move |error| (step, error.into())
}

/// The numbers that the child has its descriptors at until it executes the program.
const REPORT: RawFd = 3;
const TARGET: RawFd = 4;
const FIRST_FREE: RawFd = 5;

/// A child that was sent there.
#[derive(Debug)]
pub struct Entered {
    /// It becomes the program. Nothing of this process waits for that, as its cgroup may be frozen.
    pub child: Child,
    report: OwnedFd,
}

impl Entered {
    /// Why the program was not run; none: it was, or somebody has killed the child before. To be asked behind its end.
    pub fn failure(self) -> Option<String> {
        let mut message = [0; 5];
        File::from(self.report).read_exact(&mut message).ok()?;
        let [step, errno @ ..] = message;
        let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
        let what = STEPS.get(usize::from(step)).copied().unwrap_or("enter");
        Some(format!("{what}: {error}"))
    }
}

/// Sends a child into the namespaces of the process that this descriptor names, as far as they are not ours, where it
/// becomes the program: a session of its own, standard input from /dev/null, both outputs to `output`, which is made its
/// user's. To be called by a process with one thread. Needs the capabilities of root.
///
/// # Errors
/// The process is gone, something cannot be read, a string has a NUL; anything else [`Entered::failure`] tells.
pub fn enter(target: &Pidfd, entrant: &Entrant, output: &OwnedFd) -> io::Result<Entered> {
    let pid = target.pid()?.ok_or_else(invalid)?;
    let flags = foreign(pid)?;
    let owner = |kind: &str, id| {
        let map = fs::read_to_string(format!("/proc/{pid}/{kind}"))?;
        Ok::<_, io::Error>(outside(&map, id))
    };
    let (uid, gid) = (
        owner("uid_map", entrant.uid)?,
        owner("gid_map", entrant.gid)?,
    );
    let program = Program::of(entrant)?;
    let null = OwnedFd::from(File::open("/dev/null")?);
    // What was read above is of the process that is meant.
    if target.has_ended()? {
        return Err(Errno::ESRCH.into());
    }
    // Else who cannot open /dev/stdout could not write there.
    unistd::fchown(output, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
    // Nobody there shall read or trace what this process has left in the child's memory (ptrace(2)).
    set(libc::PR_SET_DUMPABLE, 0)?;
    let (report, to_report) = move_data::pipe()?;
    let own = File::open("/proc/self/ns/pid")?;
    let bears_in = |namespace: RawFd| {
        // SAFETY: integers only; it concerns children.
        check(unsafe { libc::setns(namespace, libc::CLONE_NEWPID) }).map(drop)
    };
    if flags.contains(CloneFlags::CLONE_NEWPID) {
        bears_in(target.as_raw())?;
    }
    let child = fork_worker(|| {
        let fds = [&null, output, output, &to_report].map(AsRawFd::as_raw_fd);
        let [null, output, error, report] = fds;
        let fds = [null, output, error, report, target.as_raw()];
        let placed = before(entrant).and_then(|()| place(fds).map_err(at(Step::Descriptors)));
        let report = if placed.is_ok() { REPORT } else { report };
        let Err((step, error)) = placed.and_then(|()| become_it(entrant, &program, flags));
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        let mut message = [step as u8; 5];
        message[1..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: pointer and length describe `message`. A lost report cannot be reported.
        unsafe { libc::write(report, message.as_ptr().cast(), message.len()) };
        127
    });
    bears_in(own.as_raw_fd())?;
    let child = child?;
    Ok(Entered { child, report })
}

impl Pidfd {
    fn as_raw(&self) -> RawFd {
        use std::os::fd::AsFd;
        self.as_fd().as_raw_fd()
    }
}

/// Those of its namespaces that this process is not in.
fn foreign(pid: i32) -> io::Result<CloneFlags> {
    let mut flags = CloneFlags::empty();
    for (kind, flag) in KINDS {
        let inode = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/{kind}")).map(|ns| ns.ino());
        if inode("self")? != inode(&pid.to_string())? {
            flags |= flag;
        }
    }
    Ok(flags)
}

/// What an id of a user namespace is to whoever reads its map (user_namespaces(7)); none: nothing.
fn outside(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        let (first, outer, count) = (next()?, next()?, next()?);
        let offset = id.checked_sub(first)?;
        (offset < count)
            .then(|| outer.checked_add(offset))
            .flatten()
    })
}

/// An [`Entrant`]'s strings as execve(2) wants them: nothing has to be allocated where limits hold already.
struct Program {
    paths: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl Program {
    fn of(entrant: &Entrant) -> io::Result<Self> {
        let strings = |list: &[String]| -> io::Result<Vec<CString>> {
            let strings = list.iter().map(|text| Ok(CString::new(text.as_str())?));
            strings.collect()
        };
        let name = entrant.args.first().ok_or_else(invalid)?;
        let path = entrant
            .env
            .iter()
            .find_map(|pair| pair.strip_prefix("PATH="));
        let paths = match name.contains('/') {
            true => vec![name.clone()],
            false => path
                .unwrap_or_default()
                .split(':')
                .map(|place| match place {
                    "" => format!("./{name}"),
                    place => format!("{place}/{name}"),
                })
                .collect(),
        };
        Ok(Self {
            paths: strings(&paths)?,
            args: strings(&entrant.args)?,
            env: strings(&entrant.env)?,
            cwd: CString::new(entrant.cwd.as_str())?,
        })
    }
}

/// What needs this process's own files.
fn before(entrant: &Entrant) -> Result<(), Failure> {
    let group = entrant.group.join("cgroup.procs");
    fs::write(group, "0").map_err(at(Step::Group))?;
    if let Some(value) = entrant.oom_score_adj {
        fs::write("/proc/self/oom_score_adj", value.to_string()).map_err(at(Step::OomScore))?;
    }
    if let Some((file, label)) = &entrant.label {
        let file = Path::new("/proc/self/attr").join(file);
        fs::write(file, label).map_err(at(Step::Label))?;
    }
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // The service's keys are not the container's. Where there are no keys, or all calls are forbidden, there is nothing to
    // give away.
    // SAFETY: no name means a new keyring without one (keyctl(2)).
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<u8>(),
        )
    };
    Ok(())
}

/// Puts the descriptors at the numbers from 0 on, and closes all others.
fn place(fds: [RawFd; 5]) -> io::Result<()> {
    let mut copies = fds;
    for copy in &mut copies {
        // SAFETY: integers only; none of the copies is overwritten below, as all are above.
        *copy = check(unsafe { libc::fcntl(*copy, libc::F_DUPFD_CLOEXEC, FIRST_FREE) })? as RawFd;
    }
    for (target, copy) in (0..).zip(copies) {
        let flags = if target < REPORT { 0 } else { libc::O_CLOEXEC };
        // SAFETY: what was open there is this child's own, and is not used again.
        check(unsafe { libc::dup3(copy, target, flags) })?;
    }
    // SAFETY: nothing of this child uses them any more; their owners are never dropped, as it leaves by exec or _exit.
    check(unsafe { libc::syscall(libc::SYS_close_range, FIRST_FREE, u32::MAX, 0) }).map(drop)
}

fn become_it(
    entrant: &Entrant,
    program: &Program,
    flags: CloneFlags,
) -> Result<Infallible, Failure> {
    // A session of its own; only who leads one already cannot have that, and a new child does not.
    let _ = unistd::setsid();
    for (resource, soft, hard) in &entrant.limits {
        setrlimit(*resource, *soft, *hard).map_err(at(Step::Limits))?;
    }
    let joined = flags - CloneFlags::CLONE_NEWPID;
    if !joined.is_empty() {
        // SAFETY: integers only.
        check(unsafe { libc::setns(TARGET, joined.bits()) }).map_err(at(Step::Namespaces))?;
    }
    // SAFETY: it is this child's own, and not used again.
    unsafe { libc::close(TARGET) };
    if let Some(mask) = entrant.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let filter = entrant.filter.as_deref();
    if let Some(filter) = filter.filter(|_| !entrant.no_new_privileges) {
        // Later it would lack the privilege.
        set_filter(filter).map_err(at(Step::Filter))?;
    }
    // A directory may be open to one of the two only.
    let is_there = unistd::chdir(program.cwd.as_c_str()).is_ok();
    become_user(entrant)?;
    if !is_there {
        unistd::chdir(program.cwd.as_c_str()).map_err(at(Step::Directory))?;
    }
    if entrant.no_new_privileges {
        set(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(at(Step::Privileges))?;
        if let Some(filter) = filter {
            set_filter(filter).map_err(at(Step::Filter))?;
        }
    }
    signals::set_all_default_for_exec();
    let error = execute(&program.paths, &program.args, &program.env);
    Err((Step::Program, error.into()))
}

fn become_user(entrant: &Entrant) -> Result<(), Failure> {
    let Capabilities {
        bounding,
        effective,
        permitted,
        inheritable,
        ambient,
    } = entrant.capabilities;
    let failed = at(Step::Capabilities);
    for number in 0..u64::BITS {
        if bounding & (1 << number) == 0 {
            match set(libc::PR_CAPBSET_DROP, number.into()) {
                // There are no more.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                dropped => dropped.map_err(&failed)?,
            }
        }
    }
    set(libc::PR_SET_KEEPCAPS, 1).map_err(&failed)?;
    let (uid, gid) = (Uid::from_raw(entrant.uid), Gid::from_raw(entrant.gid));
    let groups: Vec<Gid> = entrant.groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups)
        .and_then(|()| unistd::setresgid(gid, gid, gid))
        .and_then(|()| unistd::setresuid(uid, uid, uid))
        .map_err(at(Step::User))?;
    set(libc::PR_SET_KEEPCAPS, 0).map_err(&failed)?;
    set_capabilities(effective, permitted, inheritable).map_err(&failed)?;
    let (clear, raise) = (libc::PR_CAP_AMBIENT_CLEAR_ALL, libc::PR_CAP_AMBIENT_RAISE);
    set(libc::PR_CAP_AMBIENT, clear as libc::c_ulong).map_err(&failed)?;
    for number in (0..u64::BITS).filter(|number| ambient & (1 << number) != 0) {
        // SAFETY: integers only.
        let raised =
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number as libc::c_ulong, 0, 0) };
        check(raised).map_err(&failed)?;
    }
    Ok(())
}

/// capset(2) of this process, in its present form.
fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let half = |shift: u32| [effective, permitted, inheritable].map(|set| (set >> shift) as u32);
    let data = [half(0), half(u32::BITS)];
    // SAFETY: both have the layout of linux/capability.h, for this version two parts of three sets, and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

fn set_filter(instructions: &[u8]) -> io::Result<()> {
    const SIZE: usize = size_of::<libc::sock_filter>();
    let (instructions, rest) = instructions.as_chunks::<SIZE>();
    if !rest.is_empty() {
        return Err(invalid());
    }
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| invalid())?,
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel copies that many instructions from there and writes nothing; it reads them at any alignment.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    })
    .map(drop)
}

/// Goes through the places as execvp(3) does.
fn execute(paths: &[CString], args: &[CString], env: &[CString]) -> Errno {
    let mut forbidden = None;
    for path in paths {
        let Err(error) = unistd::execve(path.as_c_str(), args, env);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => forbidden = Some(error),
            other => return other,
        }
    }
    forbidden.unwrap_or(Errno::ENOENT)
}

/// A prctl(2) of one integer.
fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: integers only, and all five of them are there.
    check(unsafe {
        libc::prctl(
            option,
            value,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_as_the_kernel_writes_them() {
        let map = "         0     100000       1000\n      1000       1000          1\n";
        for (id, expected) in [
            (0, Some(100_000)),
            (999, Some(100_999)),
            (1000, Some(1000)),
            (1001, None),
        ] {
            assert_eq!(outside(map, id), expected, "{id}");
        }
        assert_eq!(outside("0 0 4294967295\n", 7), Some(7));
        assert_eq!(outside("", 0), None);
    }

    #[test]
    fn a_program_is_looked_for_in_its_own_path() {
        let of = |name: &str, env: &[&str]| {
            let entrant = Entrant {
                args: vec![name.to_owned()],
                env: env.iter().map(|text| (*text).to_owned()).collect(),
                cwd: "/".to_owned(),
                uid: 0,
                gid: 0,
                groups: vec![],
                umask: None,
                capabilities: Capabilities::default(),
                limits: vec![],
                no_new_privileges: false,
                filter: None,
                oom_score_adj: None,
                label: None,
                group: PathBuf::new(),
            };
            let paths = Program::of(&entrant).map(|program| program.paths);
            paths.map(|paths| {
                let words = paths.iter().map(|path| path.to_string_lossy().into_owned());
                words.collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(
            of("sh", &["A=1", "PATH=/bin::/b"]).unwrap(),
            "/bin/sh ./sh /b/sh"
        );
        assert_eq!(of("./sh", &["PATH=/bin"]).unwrap(), "./sh");
        assert!(of("a\0b", &[]).is_err());
    }
}
