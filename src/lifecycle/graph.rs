//! The order in which things that need each other start.

use std::collections::BTreeSet;

/// Why there is no order; the path leads from what was asked for to what is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraphError<E> {
    /// Something needs itself; the path ends where it came by before.
    Cycle(Vec<String>),
    /// What something needs could not be found.
    Missing(Vec<String>, E),
}

/// Names of all that `start` needs, directly or not, each once and behind what it needs itself; `start` is the last.
///
/// # Errors
/// A cycle, or something that `needs` does not find.
pub fn order<E>(
    start: &str,
    mut needs: impl FnMut(&str) -> Result<Vec<String>, E>,
) -> Result<Vec<String>, GraphError<E>> {
    let mut ordered = Vec::new();
    let mut done = BTreeSet::new();
    // Names on the way down, each with what is still to be looked at behind it.
    let mut path: Vec<(String, Vec<String>)> = Vec::new();
    let mut next = Some(start.to_owned());
    loop {
        if let Some(name) = next.take() {
            let trail = || path.iter().map(|(name, _)| name.clone());
            if path.iter().any(|(above, _)| *above == name) {
                return Err(GraphError::Cycle(trail().chain([name]).collect()));
            }
            if !done.contains(&name) {
                let mut behind = needs(&name).map_err(|error| {
                    GraphError::Missing(trail().chain([name.clone()]).collect(), error)
                })?;
                behind.reverse();
                path.push((name, behind));
            }
        }
        let Some((_, behind)) = path.last_mut() else {
            return Ok(ordered);
        };
        next = behind.pop();
        if next.is_none()
            && let Some((name, _)) = path.pop()
        {
            done.insert(name.clone());
            ordered.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(graph: &[(&str, &[&str])], start: &str) -> Result<Vec<String>, GraphError<()>> {
        order(start, |name| {
            let found = graph.iter().find(|(from, _)| *from == name).ok_or(())?;
            Ok(found.1.iter().map(|name| (*name).to_owned()).collect())
        })
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let graph: &[(&str, &[&str])] = &[
            ("web", &["db", "cache"]),
            ("db", &["disk"]),
            ("cache", &["disk"]),
            ("disk", &[]),
        ];
        let expected = ["disk", "db", "cache", "web"].map(str::to_owned).to_vec();
        assert_eq!(ordered(graph, "web"), Ok(expected));
    }

    #[test]
    fn the_path_to_what_is_wrong_is_told() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let cycle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])];
        assert_eq!(
            ordered(cycle, "a"),
            Err(GraphError::Cycle(path(&["a", "b", "c", "b"])))
        );
        assert_eq!(
            ordered(&[("a", &["a"])], "a"),
            Err(GraphError::Cycle(path(&["a", "a"])))
        );
        let missing: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["gone"])];
        assert_eq!(
            ordered(missing, "a"),
            Err(GraphError::Missing(path(&["a", "b", "gone"]), ()))
        );
    }
}
