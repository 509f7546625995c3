//! Where a test lets a process of ours be killed: after its n-th effect. Nothing of this is in a program that is built
//! without the feature `failpoints`.
//!
//! `UNITBOX_FAILPOINT=WHO:N:MARKER` in the environment of the unit: who (`main`, `prepare`, `cleanup`) kills itself with
//! SIGKILL after its effect N (`prepare+main`: a worker, and the main process before it), if it can create the file MARKER: once, and the test can tell whether N was reached.

#[cfg(not(feature = "failpoints"))]
use super::world::World;

/// The processes of a monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The resident one.
    Main,
    /// The prepare worker, until it becomes the runtime.
    Prepare,
    /// The cleanup worker.
    Cleanup,
}

/// An effect was done.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_who: Who) {}

/// The host, as this process sees it.
#[cfg(not(feature = "failpoints"))]
pub fn host(_who: Who) -> impl World {
    super::world::Host
}

#[cfg(feature = "failpoints")]
pub use armed::{hit, host};

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs::OpenOptions;
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{getpid, getppid, pause};

    use super::super::filter::Filter;
    use super::super::pins::Pin;
    use super::super::runtime::Command;
    use super::super::world::{Durability, Host, Inside, MappedBind, Overlay, PrivateFile, World};
    use super::Who;
    use crate::store::copy_tree::Shift;
    use crate::store::copy_up::FirstUse;

    /// An effect was done.
    pub fn hit(who: Who) {
        static EFFECTS: AtomicUsize = AtomicUsize::new(0);
        let Ok(wish) = std::env::var("UNITBOX_FAILPOINT") else {
            return;
        };
        let mut wish = wish.splitn(3, ':');
        let victim = wish.next().unwrap_or("");
        let with_main = victim.strip_suffix("+main");
        let name = match who {
            Who::Main => "main",
            Who::Prepare => "prepare",
            Who::Cleanup => "cleanup",
        };
        if with_main.unwrap_or(victim) != name {
            return;
        }
        let effect = EFFECTS.fetch_add(1, Ordering::Relaxed) + 1;
        let (number, marker) = (wish.next().unwrap_or(""), wish.next().unwrap_or(""));
        if number.parse() != Ok(effect) {
            return;
        }
        let made = OpenOptions::new().write(true).create_new(true).open(marker);
        if made.is_err() {
            return;
        }
        if with_main.is_some() {
            // The unit's other processes die with it.
            let _ = kill(getppid(), Signal::SIGKILL);
        }
        if kill(getpid(), Signal::SIGKILL).is_ok() {
            pause();
        }
    }

    /// The host, as this process sees it.
    pub fn host(who: Who) -> impl World {
        Mortal(who)
    }

    /// The host, to a process that may die after each effect.
    struct Mortal(Who);

    impl Mortal {
        fn after(&self, result: io::Result<()>) -> io::Result<()> {
            hit(self.0);
            result
        }
    }

    impl World for Mortal {
        fn make_dir(&mut self, path: &Path, mode: u32) -> io::Result<()> {
            self.after(Host.make_dir(path, mode))
        }

        fn link(&mut self, target: &Path, path: &Path) -> io::Result<()> {
            self.after(Host.link(target, path))
        }

        fn write_file(
            &mut self,
            path: &Path,
            contents: &str,
            mode: u32,
            durability: Durability,
        ) -> io::Result<()> {
            self.after(Host.write_file(path, contents, mode, durability))
        }

        fn copy_file(&mut self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
            self.after(Host.copy_file(from, to, mode))
        }

        fn append_in(&mut self, root: &Path, file: &Path, text: &str) -> io::Result<()> {
            self.after(Host.append_in(root, file, text))
        }

        fn mount_overlay(&mut self, overlay: &Overlay) -> io::Result<()> {
            self.after(Host.mount_overlay(overlay))
        }

        fn hand_over(&mut self, path: &Path, owner: (u32, u32), mode: u32) -> io::Result<()> {
            self.after(Host.hand_over(path, owner, mode))
        }

        fn unmount(&mut self, path: &Path) -> io::Result<()> {
            self.after(Host.unmount(path))
        }

        fn remove_file(&mut self, path: &Path) -> io::Result<()> {
            self.after(Host.remove_file(path))
        }

        fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
            self.after(Host.remove_tree(path))
        }

        fn run_runtime(&mut self, command: &Command, time: Duration) -> io::Result<()> {
            self.after(Host.run_runtime(command, time))
        }

        fn kill_strays(&mut self, group: &Path) -> io::Result<()> {
            self.after(Host.kill_strays(group))
        }

        fn kill_cgroup(&mut self, path: &Path) -> io::Result<()> {
            self.after(Host.kill_cgroup(path))
        }

        fn remove_cgroup(&mut self, path: &Path) -> io::Result<()> {
            self.after(Host.remove_cgroup(path))
        }

        fn run_filter(&mut self, filter: &Filter, input: &str) -> io::Result<String> {
            let result = Host.run_filter(filter, input);
            hit(self.0);
            result
        }

        fn pin(&mut self, pid: i32, what: Pin, directory: &Path) -> io::Result<()> {
            self.after(Host.pin(pid, what, directory))
        }

        fn unpin(&mut self, directory: &Path) -> io::Result<()> {
            self.after(Host.unpin(directory))
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.after(Host.rename(from, to))
        }

        fn make_inside(
            &mut self,
            root: &Path,
            path: &Path,
            what: Inside,
            maker: (u32, u32),
        ) -> io::Result<()> {
            self.after(Host.make_inside(root, path, what, maker))
        }

        fn bind_mapped(
            &mut self,
            source: &Path,
            target: &Path,
            bind: &MappedBind,
        ) -> io::Result<()> {
            self.after(Host.bind_mapped(source, target, bind))
        }

        fn copy_shifted(&mut self, from: &Path, to: &Path, shift: &Shift) -> io::Result<()> {
            self.after(Host.copy_shifted(from, to, shift))
        }

        fn mount_shm(
            &mut self,
            target: &Path,
            size: u64,
            owner: (u32, u32),
            context: Option<&str>,
        ) -> io::Result<()> {
            self.after(Host.mount_shm(target, size, owner, context))
        }

        fn bind_inside(&mut self, root: &Path, path: &Path, target: &Path) -> io::Result<()> {
            self.after(Host.bind_inside(root, path, target))
        }

        fn mount_private(
            &mut self,
            target: &Path,
            files: &[PrivateFile],
            owner: (u32, u32),
            context: Option<&str>,
        ) -> io::Result<()> {
            self.after(Host.mount_private(target, files, owner, context))
        }

        fn copy_up(
            &mut self,
            volume: &Path,
            root: &Path,
            target: &Path,
            first: &FirstUse,
        ) -> io::Result<()> {
            self.after(Host.copy_up(volume, root, target, first))
        }

        fn chown_tree(&mut self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
            self.after(Host.chown_tree(path, uid, gid))
        }

        fn relabel(&mut self, path: &Path, label: &str) -> io::Result<()> {
            self.after(Host.relabel(path, label))
        }
    }
}
