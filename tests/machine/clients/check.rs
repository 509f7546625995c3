//! Is there an order of steps that explains a history? All orders that its times allow are followed at once.

use std::collections::{BTreeSet, HashSet};

use super::model::{Answer, DONE, Phase, State, Verb, by_itself, changes_nothing, steps};

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

/// One way in which things may have gone so far: the state, and how far each verb is that goes on, four bits each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct World(u64);

impl World {
    fn new(state: State) -> Self {
        Self(state as u64)
    }

    fn state(self) -> State {
        State::ALL[(self.0 & 0xf) as usize]
    }

    fn with_state(self, state: State) -> Self {
        Self(self.0 & !0xf | state as u64)
    }

    fn phase(self, place: usize) -> Phase {
        (self.0 >> (4 * (place + 1)) & 0xf) as Phase
    }

    fn with_phase(self, place: usize, phase: Phase) -> Self {
        let shift = 4 * (place + 1);
        Self(self.0 & !(0xf << shift) | u64::from(phase) << shift)
    }
}

/// The first operation whose answer no order explains, with the states that there could be before, and what went on.
pub(super) fn unexplained(history: &[Operation]) -> Option<String> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in history.iter().enumerate() {
        moments.push((operation.from, false, at));
        moments.push((operation.to, true, at));
    }
    moments.sort_unstable();
    // The place of each operation that goes on: the same in every world.
    let mut going: Vec<Option<usize>> = Vec::new();
    let mut worlds = HashSet::from([World::new(State::Absent)]);
    for (_, ends, at) in moments {
        if !ends {
            let free = going.iter().position(Option::is_none);
            let place = free.unwrap_or(going.len());
            going.resize(going.len().max(place + 1), None);
            assert!(place < 15, "more go on than a world has room for");
            going[place] = Some(at);
            continue;
        }
        let all = closure(history, &going, worlds);
        let place = going.iter().position(|other| *other == Some(at));
        let place = place.expect("it has begun");
        going[place] = None;
        worlds = all
            .iter()
            .filter(|world| world.phase(place) == DONE)
            .map(|world| world.with_phase(place, 0))
            .collect();
        if worlds.is_empty() {
            return Some(report(history, at, &all));
        }
    }
    None
}

/// All worlds that steps lead to.
fn closure(
    history: &[Operation],
    going: &[Option<usize>],
    worlds: HashSet<World>,
) -> HashSet<World> {
    let mut all = HashSet::new();
    let mut fresh: Vec<World> = Vec::new();
    let mut add = |fresh: &mut Vec<World>, world: World| {
        let world = read(history, going, world);
        if all.insert(world) {
            fresh.push(world);
        }
    };
    worlds.into_iter().for_each(|world| add(&mut fresh, world));
    while let Some(world) = fresh.pop() {
        for state in by_itself(world.state()) {
            add(&mut fresh, world.with_state(*state));
        }
        for (place, at) in going.iter().enumerate() {
            let (Some(at), phase) = (*at, world.phase(place)) else {
                continue;
            };
            if phase == DONE {
                continue;
            }
            let Operation { verb, answer, .. } = history[at];
            for (state, phase) in steps(verb, answer, phase, world.state()) {
                add(&mut fresh, world.with_state(state).with_phase(place, phase));
            }
        }
    }
    all
}

/// What changes nothing is done as soon as it can be: that takes nothing from the others.
fn read(history: &[Operation], going: &[Option<usize>], mut world: World) -> World {
    for (place, at) in going.iter().enumerate() {
        let Some(at) = *at else { continue };
        let Operation { verb, answer, .. } = history[at];
        let (phase, state) = (world.phase(place), world.state());
        if changes_nothing(verb, answer)
            && phase != DONE
            && steps(verb, answer, phase, state).contains(&(state, DONE))
        {
            world = world.with_phase(place, DONE);
        }
    }
    world
}

fn report(history: &[Operation], at: usize, worlds: &HashSet<World>) -> String {
    let states: BTreeSet<State> = worlds.iter().map(|world| world.state()).collect();
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
