//! Whether an image is fetched, and from where: the order of Podman's `pull` and `run --pull`.

use std::path::Path;

use super::fetch::Fetch;
use super::short_names::{Found, ShortNames};
use super::storage;
use super::{Fetched, Note, Origin, Request, Transport};
use crate::image::error::{Error, Result};
use crate::image::local::{Image, Images};
use crate::image::reference::Reference;
use crate::types::PullPolicy;

impl Images {
    /// Sees to it that an image is here, as the policy says: a name, a short name, the id of one that is here, or
    /// `TRANSPORT:DETAILS`.
    ///
    /// # Errors
    /// It is not here and must not or cannot be fetched. The store is as it was then.
    pub fn obtain(
        &self,
        text: &str,
        policy: PullPolicy,
        request: &Request,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        let names = ShortNames::load();
        let local = self.here(text, names.as_ref().ok())?;
        if let Some(local) = &local {
            let stays = match policy {
                PullPolicy::Never => true,
                PullPolicy::Missing => !request.platform.is_wished(),
                PullPolicy::Always | PullPolicy::Newer => false,
            };
            if stays {
                return Ok(local.fetched());
            }
            if local.is_by_id {
                return match policy {
                    PullPolicy::Always => Err(Error::Pull(format!(
                        "pull policy is always but image has been referred to by ID ({text})"
                    ))),
                    _ => Ok(local.fetched()),
                };
            }
        } else if policy == PullPolicy::Never {
            return Err(Error::NotFound(text.to_owned()));
        }
        match Origin::parse(text)? {
            Origin::Registry(name) => {
                let search = Search {
                    local: local.as_ref(),
                    policy,
                    request,
                };
                self.try_registries(&name, names, search, report)
            }
            origin => self.fetch_from(origin, request, report),
        }
    }

    /// Fetches every tag of a repository.
    ///
    /// # Errors
    /// It is not a repository, or one of them cannot be fetched: those before are here.
    pub fn obtain_all(
        &self,
        text: &str,
        request: &Request,
        report: &mut dyn FnMut(Note),
    ) -> Result<Vec<Fetched>> {
        let name = match Origin::parse(text)? {
            Origin::Registry(name) if name.tag.is_none() && name.digest.is_none() => name,
            Origin::Registry(_) => {
                return Err(Error::Pull(format!(
                    "{text}: all tags of a name with a tag or a digest"
                )));
            }
            Origin::Local { .. } => {
                return Err(Error::Pull(format!(
                    "{text}: all tags of what is no repository"
                )));
            }
        };
        let found = ShortNames::load()?.resolve(&name)?;
        let Some(repository) = found.candidates.into_iter().next() else {
            return Err(Error::NotFound(text.to_owned()));
        };
        let tags = Fetch::new(self, request)?.tags(&repository, report)?;
        let mut fetched = Vec::new();
        for tag in tags {
            let one = Reference {
                tag: Some(tag),
                ..repository.clone()
            };
            fetched.push(self.fetch_named(&one, request, report)?);
        }
        Ok(fetched)
    }

    fn try_registries(
        &self,
        name: &Reference,
        names: Result<ShortNames>,
        search: Search<'_>,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        let here = |error: Error| match (search.policy, search.local) {
            (PullPolicy::Newer, Some(local)) => Ok(local.fetched()),
            _ => Err(error),
        };
        // What is here under a short name has a full one, which is meant.
        let full = search.local.and_then(|local| local.name.as_deref());
        let found = match full.map(str::parse::<Reference>) {
            Some(Ok(full)) if name.domain.is_none() => Found {
                candidates: vec![full],
                how: None,
            },
            _ => match names.and_then(|names| names.resolve(name)) {
                Ok(found) => found,
                Err(error) => return here(error),
            },
        };
        if let (Some(how), false) = (found.how, search.request.quiet) {
            report(Note::Line(how));
        }
        let mut errors = Vec::new();
        for candidate in &found.candidates {
            match self.if_newer(candidate, &search, report) {
                Ok(fetched) => return Ok(fetched),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => errors.push(error),
            }
        }
        if errors.len() == 1 {
            return here(errors.remove(0));
        }
        let all: Vec<_> = errors
            .iter()
            .map(|error| crate::types::chain(error))
            .collect();
        here(Error::Pull(format!(
            "{} errors occurred while pulling: {}",
            all.len(),
            all.join("; ")
        )))
    }

    fn if_newer(
        &self,
        candidate: &Reference,
        search: &Search<'_>,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        if let (PullPolicy::Newer, Some(local)) = (search.policy, search.local) {
            let origin = Origin::Registry(candidate.clone());
            let raw = Fetch::new(self, search.request)?.look(&origin, report)?;
            if raw.means(&local.image.digest) {
                return Ok(local.fetched());
            }
        }
        self.fetch_named(candidate, search.request, report)
    }

    fn fetch_named(
        &self,
        name: &Reference,
        request: &Request,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        let origin = Origin::Registry(name.clone());
        if !request.quiet {
            let shown = origin.for_skopeo();
            let shown = shown.trim_start_matches("docker://");
            report(Note::Line(format!("Trying to pull {shown}...")));
        }
        let fetch = Fetch::new(self, request)?;
        let raw = fetch.look(&origin, report)?;
        fetch.take(&origin, &raw, report)
    }

    fn fetch_from(
        &self,
        origin: Origin,
        request: &Request,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        let candidates = match &origin {
            Origin::Local {
                transport: Transport::Storage,
                path,
                ..
            } => {
                storage::check(Path::new("/"))?;
                storage::candidates(path)
            }
            _ => vec![origin],
        };
        let mut first = None;
        for origin in candidates {
            let fetch = Fetch::new(self, request)?;
            match fetch.look(&origin, report) {
                Ok(raw) => return fetch.take(&origin, &raw, report),
                Err(error @ Error::Pull(_)) => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| Error::Pull("no such image".to_owned())))
    }

    /// The image that is here under this name; a short one may have come from the registries that are searched.
    fn here(&self, text: &str, names: Option<&ShortNames>) -> Result<Option<Local>> {
        let images = self.list()?;
        let mut candidates = vec![text.to_owned()];
        if let (Ok(name), Some(names)) = (text.parse::<Reference>(), names)
            && name.domain.is_none()
        {
            // Nobody is asked where it is looked for only here.
            candidates.extend(names.local(&name));
        }
        for candidate in candidates {
            match self.resolve_in(&candidate, images.clone()) {
                Ok((image, full)) => {
                    let by_digest = candidate.contains('@').then(|| candidate.clone());
                    let is_by_id = full.is_none() && by_digest.is_none();
                    return Ok(Some(Local {
                        name: full.or(by_digest),
                        image,
                        is_by_id,
                    }));
                }
                Err(Error::NotFound(_) | Error::Reference { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// An image that is here.
struct Local {
    /// The full name by which it was found.
    name: Option<String>,
    image: Image,
    is_by_id: bool,
}

impl Local {
    fn fetched(&self) -> Fetched {
        Fetched {
            name: self.name.clone(),
            id: self.image.id.clone(),
        }
    }
}

/// What is looked for.
struct Search<'a> {
    local: Option<&'a Local>,
    policy: PullPolicy,
    request: &'a Request,
}
