//! Containers that a container cannot be without.

use super::{Namespace, Network, Options, UserNamespace};

impl Options {
    /// The containers whose namespaces are joined, and the required ones, each once: as the user named them, or by id
    /// once the container is on record.
    pub fn dependencies(&self) -> Vec<&str> {
        let joined = self.joined().into_iter().map(|(_, text)| text);
        let required = self.requires.iter().map(String::as_str);
        let mut all: Vec<&str> = Vec::new();
        for text in joined.chain(required) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all
    }

    /// Namespaces that are joined, by the flag that says so, and whose they are.
    pub fn joined(&self) -> Vec<(&'static str, &str)> {
        let isolation = &self.isolation;
        let modes = [
            ("--pid", &isolation.pid),
            ("--ipc", &isolation.ipc),
            ("--uts", &isolation.uts),
            ("--cgroupns", &isolation.cgroup),
        ];
        let network = match &self.network {
            Network::Container(text) => Some(("--network", text.as_str())),
            Network::None | Network::Host | Network::Path(_) => None,
        };
        let named = modes.into_iter().filter_map(|(flag, mode)| match mode {
            Some(Namespace::Container(text)) => Some((flag, text.as_str())),
            _ => None,
        });
        let user = match &isolation.user.mode {
            Some(UserNamespace::Container(text)) => Some(("--userns", text.as_str())),
            _ => None,
        };
        network.into_iter().chain(named).chain(user).collect()
    }

    /// Replaces what the user named the containers by their ids.
    ///
    /// # Errors
    /// The first of the function's.
    pub fn resolve_dependencies<E>(
        &mut self,
        mut id_of: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<(), E> {
        let isolation = &mut self.isolation;
        for mode in [
            &mut isolation.pid,
            &mut isolation.ipc,
            &mut isolation.uts,
            &mut isolation.cgroup,
        ] {
            if let Some(Namespace::Container(text)) = mode {
                *text = id_of(text)?;
            }
        }
        if let Some(UserNamespace::Container(text)) = &mut isolation.user.mode {
            *text = id_of(text)?;
        }
        if let Network::Container(text) = &mut self.network {
            *text = id_of(text)?;
        }
        let required = std::mem::take(&mut self.requires);
        for text in required {
            let id = id_of(&text)?;
            if !self.requires.contains(&id) {
                self.requires.push(id);
            }
        }
        Ok(())
    }
}
