//! A host whose mounts, cgroups and runtime are in memory and whose files are in a temporary directory. It numbers the
//! effects and can be cut off after or in the middle of any of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::filter::Filter;
use super::pins::Pin;
use super::runtime::Command;
use super::world::{Durability, Host, Inside, MappedBind, Overlay, PrivateFile, World};
use crate::store::copy_tree::Shift;
use crate::store::copy_up::FirstUse;

/// How far an effect got that the cut hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// It was done.
    Done,
    /// The first half of it was done.
    FirstHalf,
    /// Of what can be done in any order, the other half.
    OtherHalf,
}

impl Depth {
    pub(crate) const ALL: [Self; 3] = [Self::Done, Self::FirstHalf, Self::OtherHalf];
}

/// The host.
#[derive(Debug)]
pub(crate) struct FakeWorld {
    root: PathBuf,
    mounts: BTreeSet<PathBuf>,
    cgroups: BTreeSet<PathBuf>,
    /// Effects left, and how far the last one gets.
    cut: Option<(usize, Depth)>,
    /// What must never happen.
    pub(crate) violations: Vec<String>,
    /// A kernel or file system that maps no ids.
    pub(crate) maps_no_ids: bool,
}

impl FakeWorld {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Thousands of small files and fsync(2): in memory if there is one.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let root = parent.join(format!("unitbox-world-{}-{number}", std::process::id()));
        fs::create_dir(&root).unwrap();
        Self {
            root,
            mounts: BTreeSet::new(),
            cgroups: BTreeSet::new(),
            cut: None,
            violations: Vec::new(),
            maps_no_ids: false,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cuts whatever runs next off at its effect of this number, from 1.
    pub(crate) fn cut_at(&mut self, effect: usize, depth: Depth) {
        self.cut = Some((effect, depth));
    }

    /// Ends the cut; false if it was never reached.
    pub(crate) fn heal(&mut self) -> bool {
        matches!(self.cut.take(), Some((0, _)))
    }

    /// What `create` of the runtime makes.
    pub(crate) fn runtime_creates(&mut self, state: &Path, cgroup: &Path) {
        fs::create_dir_all(state).unwrap();
        fs::write(state.join("state.json"), "{}").unwrap();
        self.cgroups.insert(cgroup.to_owned());
    }

    /// Everything there is, files with their path below the root.
    pub(crate) fn everything(&self) -> BTreeSet<String> {
        let relative = |path: &Path| {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            below.display().to_string()
        };
        let mut all = BTreeSet::new();
        let mut todo = vec![self.root.clone()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                }
                all.insert(relative(&entry.path()));
            }
        }
        all.extend(
            self.mounts
                .iter()
                .map(|path| format!("mount {}", relative(path))),
        );
        all.extend(
            self.cgroups
                .iter()
                .map(|path| format!("cgroup {}", relative(path))),
        );
        all
    }

    /// Counts an effect: `done` does it, `half` a part of it.
    fn effect(
        &mut self,
        done: impl FnOnce(&mut Self) -> io::Result<()>,
        half: impl FnOnce(&mut Self, Depth),
    ) -> io::Result<()> {
        match &mut self.cut {
            None => return done(self),
            Some((0, _)) => {}
            Some((left, depth)) => {
                *left -= 1;
                match (*left, *depth) {
                    (1.., _) => return done(self),
                    // It is killed right after: nobody sees the result.
                    (0, Depth::Done) => drop(done(self)),
                    (0, depth) => half(self, depth),
                }
            }
        }
        Err(io::Error::other("this process was killed"))
    }

    fn check_unmounted(&mut self, tree: &Path) {
        let mounted = self.mounts.iter().filter(|mount| mount.starts_with(tree));
        let found = mounted.map(|mount| format!("removed what is mounted at {}", mount.display()));
        self.violations.extend(found);
    }
}

impl Drop for FakeWorld {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

impl World for FakeWorld {
    fn make_dir(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.effect(|_| Host.make_dir(path, mode), |_, _| {})
    }

    fn link(&mut self, target: &Path, path: &Path) -> io::Result<()> {
        self.effect(|_| Host.link(target, path), |_, _| {})
    }

    fn write_file(
        &mut self,
        path: &Path,
        contents: &str,
        mode: u32,
        _durability: Durability,
    ) -> io::Result<()> {
        self.effect(
            |_| Host.write_file(path, contents, mode, Durability::Cached),
            |_, depth| {
                let mut name = path.file_name().unwrap().to_owned();
                name.push(".new");
                let half = if depth == Depth::FirstHalf {
                    contents.len() / 2
                } else {
                    0
                };
                let half = (0..=half).rev().find(|at| contents.is_char_boundary(*at));
                // Its directory may be missing, as for the host itself.
                let _ = fs::write(path.with_file_name(name), &contents[..half.unwrap_or(0)]);
            },
        )
    }

    fn copy_file(&mut self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
        self.effect(
            |_| Host.copy_file(from, to, mode),
            |_, _| {
                let mut name = to.file_name().unwrap().to_owned();
                name.push(".new");
                let _ = fs::write(to.with_file_name(name), "");
            },
        )
    }

    fn append_in(&mut self, root: &Path, file: &Path, text: &str) -> io::Result<()> {
        self.effect(|_| Host.append_in(root, file, text), |_, _| {})
    }

    fn mount_overlay(&mut self, overlay: &Overlay) -> io::Result<()> {
        for dir in [&overlay.upper, &overlay.work, &overlay.target] {
            if !dir.is_dir() {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        if self.maps_no_ids && overlay.idmap.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let target = overlay.target.clone();
        self.effect(
            |world| {
                if !world.mounts.insert(target.clone()) {
                    world
                        .violations
                        .push(format!("mounted twice at {}", target.display()));
                }
                Ok(())
            },
            |world, _| {
                if let Some(idmap) = &overlay.idmap {
                    fs::create_dir(&idmap.staging).unwrap();
                    world.mounts.insert(idmap.staging.clone());
                }
            },
        )
    }

    fn hand_over(&mut self, path: &Path, _owner: (u32, u32), _mode: u32) -> io::Result<()> {
        let found = path.symlink_metadata().map(drop);
        self.effect(|_| found, |_, _| {})
    }

    fn unmount(&mut self, path: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                world.mounts.remove(path);
                Ok(())
            },
            |_, _| {},
        )
    }

    fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.effect(|_| Host.remove_file(path), |_, _| {})
    }

    fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                world.check_unmounted(path);
                Host.remove_tree(path)
            },
            |world, depth| {
                world.check_unmounted(path);
                let entries = fs::read_dir(path).into_iter().flatten().flatten();
                let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                paths.sort();
                if depth == Depth::OtherHalf {
                    paths.reverse();
                }
                for path in &paths[..paths.len().div_ceil(2)] {
                    let gone = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
                    gone.unwrap();
                }
            },
        )
    }

    fn run_runtime(&mut self, command: &Command, _time: Duration) -> io::Result<()> {
        let arg = |index: usize| PathBuf::from(&command.args[index]);
        let verb = command.args.iter().any(|arg| arg == "delete");
        assert!(verb, "only delete is run this way: {command:?}");
        let state = arg(1).join(command.args.last().unwrap());
        let delete_state = move |_: &mut Self| Host.remove_tree(&state);
        let delete_cgroup = |world: &mut Self| world.cgroups.clear();
        self.effect(
            |world| {
                delete_cgroup(world);
                delete_state.clone()(world)
            },
            |world, depth| match depth {
                Depth::FirstHalf => delete_cgroup(world),
                _ => delete_state.clone()(world).unwrap(),
            },
        )
    }

    fn kill_strays(&mut self, _group: &Path) -> io::Result<()> {
        self.effect(|_| Ok(()), |_, _| {})
    }

    fn kill_cgroup(&mut self, _path: &Path) -> io::Result<()> {
        self.effect(|_| Ok(()), |_, _| {})
    }

    fn remove_cgroup(&mut self, path: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                world.cgroups.remove(path);
                Ok(())
            },
            |_, _| {},
        )
    }

    fn run_filter(&mut self, _filter: &Filter, input: &str) -> io::Result<String> {
        self.effect(|_| Ok(()), |_, _| {})?;
        Ok(input.to_owned())
    }

    fn pin(&mut self, _pid: i32, what: Pin, directory: &Path) -> io::Result<()> {
        let path = directory.join(what.name());
        self.effect(
            |world| {
                fs::create_dir_all(directory)?;
                world.mounts.insert(path.clone());
                fs::write(&path, "")
            },
            |_, _| {},
        )
    }

    fn unpin(&mut self, directory: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                world.mounts.retain(|path| !path.starts_with(directory));
                Host.remove_tree(directory)
            },
            |_, _| {},
        )
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                world.check_unmounted(from);
                Host.rename(from, to)
            },
            |_, _| {},
        )
    }

    fn make_inside(
        &mut self,
        root: &Path,
        path: &Path,
        what: Inside,
        maker: (u32, u32),
    ) -> io::Result<()> {
        self.effect(|_| Host.make_inside(root, path, what, maker), |_, _| {})
    }

    fn bind_mapped(&mut self, _: &Path, target: &Path, _: &MappedBind) -> io::Result<()> {
        self.effect(
            |world| {
                fs::create_dir_all(target)?;
                world.mounts.insert(target.to_owned());
                Ok(())
            },
            |_, _| fs::create_dir_all(target).unwrap_or_default(),
        )
    }

    fn copy_shifted(&mut self, from: &Path, to: &Path, shift: &Shift) -> io::Result<()> {
        self.effect(
            |_| Host.copy_shifted(from, to, shift),
            |_, _| fs::create_dir_all(to.join("half")).unwrap_or_default(),
        )
    }

    fn mount_shm(
        &mut self,
        target: &Path,
        _size: u64,
        _owner: (u32, u32),
        _context: Option<&str>,
    ) -> io::Result<()> {
        self.effect(
            |world| {
                fs::create_dir_all(target)?;
                world.mounts.insert(target.to_owned());
                Ok(())
            },
            |_, _| fs::create_dir_all(target).unwrap_or_default(),
        )
    }

    fn bind_inside(&mut self, _root: &Path, _path: &Path, target: &Path) -> io::Result<()> {
        self.effect(
            |world| {
                fs::create_dir_all(target)?;
                world.mounts.insert(target.to_owned());
                Ok(())
            },
            |_, _| fs::create_dir_all(target).unwrap_or_default(),
        )
    }

    fn mount_private(
        &mut self,
        target: &Path,
        _files: &[PrivateFile],
        _owner: (u32, u32),
        _context: Option<&str>,
    ) -> io::Result<()> {
        self.effect(
            |world| {
                world.mounts.insert(target.to_owned());
                Ok(())
            },
            |_, _| {},
        )
    }

    fn copy_up(
        &mut self,
        volume: &Path,
        root: &Path,
        target: &Path,
        first: &FirstUse,
    ) -> io::Result<()> {
        self.effect(
            |_| Host.copy_up(volume, root, target, first),
            |_, _| {
                // A copy is begun only in a volume that nobody has had.
                if volume.join("fresh").exists() {
                    let _ = fs::create_dir_all(volume.join(".copy/half"));
                }
            },
        )
    }

    fn chown_tree(&mut self, _path: &Path, _uid: u32, _gid: u32) -> io::Result<()> {
        self.effect(|_| Ok(()), |_, _| {})
    }

    fn relabel(&mut self, _path: &Path, _label: &str) -> io::Result<()> {
        self.effect(|_| Ok(()), |_, _| {})
    }
}
