//! Is there an order of steps that explains a history? All orders that its times allow are followed at once.

use std::collections::BTreeSet;

use super::model::{Answer, DONE, Phase, State, Verb, by_itself, steps};

/// One thing that a client did to one container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    /// Microseconds: when it was asked for.
    pub(super) from: u64,
    /// When the answer was there.
    pub(super) to: u64,
    pub(super) verb: Verb,
    pub(super) answer: Answer,
    /// As it was recorded, for the report.
    pub(super) line: String,
}

/// One way in which things may have gone so far: the state, and how far each verb is that goes on.
type World = (State, Vec<(usize, Phase)>);

/// The first operation whose answer no order explains, with the states that there could be before, and what went on.
pub(super) fn unexplained(history: &[Operation]) -> Option<String> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in history.iter().enumerate() {
        moments.push((operation.from, false, at));
        moments.push((operation.to, true, at));
    }
    moments.sort_unstable();
    let mut worlds: BTreeSet<World> = BTreeSet::from([(State::Absent, Vec::new())]);
    for (_, ends, at) in moments {
        if !ends {
            worlds = worlds
                .into_iter()
                .map(|(state, mut going)| {
                    going.push((at, 0));
                    going.sort_unstable();
                    (state, going)
                })
                .collect();
            continue;
        }
        let all = closure(history, worlds);
        worlds = all
            .iter()
            .filter(|(_, going)| going.contains(&(at, DONE)))
            .map(|(state, going)| {
                (
                    *state,
                    going.iter().copied().filter(|one| one.0 != at).collect(),
                )
            })
            .collect();
        if worlds.is_empty() {
            return Some(report(history, at, &all));
        }
    }
    None
}

/// All worlds that steps lead to.
fn closure(history: &[Operation], worlds: BTreeSet<World>) -> BTreeSet<World> {
    let mut all = worlds.clone();
    let mut fresh: Vec<World> = worlds.into_iter().collect();
    while let Some((state, going)) = fresh.pop() {
        let mut next: Vec<World> = Vec::new();
        next.extend(by_itself(state).iter().map(|state| (*state, going.clone())));
        for (place, (at, phase)) in going.iter().enumerate() {
            if *phase == DONE {
                continue;
            }
            let Operation { verb, answer, .. } = history[*at];
            for (state, phase) in steps(verb, answer, *phase, state) {
                let mut going = going.clone();
                going[place].1 = phase;
                next.push((state, going));
            }
        }
        for world in next {
            if all.insert(world.clone()) {
                fresh.push(world);
            }
        }
    }
    all
}

fn report(history: &[Operation], at: usize, worlds: &BTreeSet<World>) -> String {
    let states: BTreeSet<State> = worlds.iter().map(|(state, _)| *state).collect();
    let end = history[at].to;
    let near = history
        .iter()
        .filter(|other| other.from <= end && other.to + 1_000_000 >= history[at].from);
    let lines: Vec<&str> = near.map(|other| other.line.as_str()).collect();
    format!(
        "no order explains:\n  {}\nit may have been {states:?}; around it:\n  {}",
        history[at].line,
        lines.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::model::Word;
    use super::*;
    use Answer::{Done, Improper, InUse, Is, NoSuch, Overtaken};

    fn history(of: &[(u64, u64, Verb, Answer)]) -> Option<String> {
        let operations: Vec<Operation> = of
            .iter()
            .map(|(from, to, verb, answer)| Operation {
                from: *from,
                to: *to,
                verb: *verb,
                answer: *answer,
                line: format!("{from} {to} {verb:?} {answer:?}"),
            })
            .collect();
        unexplained(&operations)
    }

    #[test]
    fn what_can_be_explained_is() {
        for good in [
            &[
                (0, 1, Verb::Run, Done),
                (2, 3, Verb::Look, Is(Word::Running)),
                (4, 5, Verb::Kill, Done),
                (6, 7, Verb::Look, Is(Word::Running)),
                (8, 9, Verb::Look, Is(Word::Exited)),
                (10, 11, Verb::Remove, Done),
                (12, 13, Verb::Look, NoSuch),
            ][..],
            // A stop that came into a start.
            &[
                (0, 1, Verb::Create, Done),
                (2, 9, Verb::Start, Overtaken),
                (3, 8, Verb::Stop, Done),
                (10, 11, Verb::Look, Is(Word::Created)),
            ],
            // A restart that has seen it run before its start was told.
            &[
                (0, 1, Verb::Create, Done),
                (2, 9, Verb::Start, Overtaken),
                (6, 12, Verb::Restart, Done),
                (13, 14, Verb::Look, Is(Word::Running)),
            ],
            // Two removals at once, and a new one of the name.
            &[
                (0, 1, Verb::Run, Done),
                (2, 6, Verb::RemoveForce, Done),
                (2, 7, Verb::RemoveForce, Done),
                (5, 8, Verb::Create, Done),
                (9, 10, Verb::Create, InUse),
            ],
            // Too early to be frozen.
            &[
                (0, 1, Verb::Create, Done),
                (2, 9, Verb::Start, Done),
                (3, 4, Verb::Pause, Improper),
                (5, 6, Verb::Look, Is(Word::Created)),
            ],
            // A look in the middle of a stop.
            &[
                (0, 1, Verb::Run, Done),
                (2, 9, Verb::Stop, Done),
                (3, 4, Verb::Look, Is(Word::Running)),
                (5, 6, Verb::Look, Is(Word::Stopping)),
                (7, 8, Verb::Look, Is(Word::Exited)),
            ],
        ] {
            assert_eq!(history(good), None);
        }
    }

    #[test]
    fn a_lie_is_found() {
        for bad in [
            // Two that got the same name.
            &[(0, 5, Verb::Create, Done), (1, 6, Verb::Create, Done)][..],
            // A stop that stopped nothing.
            &[
                (0, 1, Verb::Run, Done),
                (2, 3, Verb::Stop, Done),
                (4, 5, Verb::Look, Is(Word::Running)),
            ],
            // One that ends and is back by itself.
            &[
                (0, 1, Verb::Run, Done),
                (2, 3, Verb::Kill, Done),
                (4, 5, Verb::Look, Is(Word::Exited)),
                (6, 7, Verb::Look, Is(Word::Running)),
            ],
            // A start that says that it was stopped, and nobody had.
            &[(0, 1, Verb::Create, Done), (2, 3, Verb::Start, Overtaken)],
            // Removed, and still there.
            &[
                (0, 1, Verb::Create, Done),
                (2, 3, Verb::RemoveForce, Done),
                (4, 5, Verb::Look, Is(Word::Created)),
            ],
            // There, and not found.
            &[(0, 1, Verb::Create, Done), (2, 3, Verb::Stop, NoSuch)],
            // Refused for a state that it never had.
            &[(0, 1, Verb::Run, Done), (2, 3, Verb::Pause, Improper)],
            &[
                (0, 1, Verb::Run, Done),
                (2, 3, Verb::Look, Is(Word::Paused)),
            ],
        ] {
            assert!(history(bad).is_some(), "{bad:?}");
        }
    }
}
