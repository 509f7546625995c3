//! What a container may do, step by step, whoever asks.
//!
//! A verb that takes time is several steps: others may act between two of them, but each step is legal in some states only,
//! and the answer that the verb gave must have been true at one of its steps.

/// The state of one name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    /// No container has this name.
    Absent,
    /// It never ran, or its last start was given up.
    Created,
    /// A start goes on.
    Starting,
    /// The payload runs.
    Running,
    /// It is frozen.
    Paused,
    /// It was frozen before it heard the signal that ends it.
    Doomed,
    /// systemd was told to end it, and its monitor has not heard of that: it looks as if it ran.
    Ordered,
    /// It was told to end, by a stop.
    Stopping,
    /// It was told to end before its payload ran: it will be as if it had not been started.
    GivenUp,
    /// It was sent a signal that ends it; nobody waits for that.
    Dying,
    /// It has ended.
    Exited,
}

impl State {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; 11] = [
        Self::Absent,
        Self::Created,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Doomed,
        Self::Ordered,
        Self::Stopping,
        Self::GivenUp,
        Self::Dying,
        Self::Exited,
    ];
}

/// What a client did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verb {
    Create,
    Run,
    Start,
    Stop,
    Restart,
    Kill,
    Pause,
    Unpause,
    Remove,
    RemoveForce,
    Exec,
    /// `ps` or `inspect`.
    Look,
}

/// What it was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Answer {
    Done,
    /// Of [`Verb::Look`]: the word for its state.
    Is(Word),
    NoSuch,
    InUse,
    /// It is in a state in which this cannot be done.
    Improper,
    /// It was stopped meanwhile.
    Overtaken,
}

/// The words of `ps`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Word {
    Created,
    Running,
    Paused,
    Stopping,
    Exited,
    Removing,
}

/// How far a verb is: 0 before its first step.
pub(super) type Phase = u8;

/// Its last step is behind it.
pub(super) const DONE: Phase = 9;

use Answer::{Done, Improper, InUse, Is, NoSuch, Overtaken};
use State::{
    Absent, Created, Doomed, Dying, Exited, GivenUp, Ordered, Paused, Running, Starting, Stopping,
};

/// What the next step of a verb with this answer may be: the state after it, and the verb's phase.
pub(super) fn steps(verb: Verb, answer: Answer, phase: Phase, state: State) -> Vec<(State, Phase)> {
    let here = |legal: bool| if legal { vec![(state, DONE)] } else { vec![] };
    match (verb, answer) {
        // What was there at the first step may be gone at the last.
        (Verb::Create | Verb::RemoveForce, NoSuch) => vec![],
        (_, NoSuch) => here(state == Absent && (verb != Verb::Run || phase > 0)),
        (Verb::Create | Verb::Run, InUse) => here(state != Absent),
        (Verb::Create, Done) => match state {
            Absent => vec![(Created, DONE)],
            _ => vec![],
        },
        (Verb::Run, Done | Overtaken | Improper) if phase == 0 => match state {
            Absent => vec![(Created, 1)],
            _ => vec![],
        },
        (Verb::Run | Verb::Start, Done | Overtaken) => start(answer, phase, state),
        (Verb::Run | Verb::Start, Improper) => here(matches!(state, Paused | Doomed | Absent)),
        (Verb::Restart, Improper) => match (phase, state) {
            // Others have started and frozen, or removed, what it had stopped.
            (0 | 2, Paused | Doomed | Absent) => vec![(state, DONE)],
            (2, _) => vec![],
            _ => restart(answer, phase, state),
        },
        (Verb::Restart, Done | Overtaken) => restart(answer, phase, state),
        (Verb::Stop, Done) => stop(phase, state),
        (Verb::Kill, Done) => match state {
            Starting | Running | Paused | Doomed | Dying => vec![(Dying, DONE)],
            Ordered | Stopping | GivenUp => vec![(state, DONE)],
            Absent | Created | Exited => vec![],
        },
        (Verb::Kill, Improper) => here(!matches!(state, Running | Paused | Doomed)),
        (Verb::Pause, Done) => match state {
            Starting | Running => vec![(Paused, DONE)],
            Dying => vec![(Dying, DONE), (Doomed, DONE)],
            Ordered | Stopping => vec![(state, DONE)],
            Absent | Created | Paused | Doomed | GivenUp | Exited => vec![],
        },
        // What it has frozen may be killed before it looks whether that holds.
        (Verb::Pause, Improper) => match (phase, state) {
            (0, Starting) => vec![(Starting, DONE), (Paused, 1)],
            (0, Running) => vec![(Paused, 1)],
            (0, _) => here(true),
            (_, Running | Paused | Doomed) => vec![],
            _ => here(true),
        },
        (Verb::Unpause, Done) => match state {
            Paused => vec![(Running, DONE)],
            Doomed => vec![(Dying, DONE)],
            Dying | Ordered | Stopping => vec![(state, DONE)],
            Absent | Created | Starting | Running | GivenUp | Exited => vec![],
        },
        (Verb::Unpause, Improper) => here(!matches!(state, Paused | Doomed)),
        (Verb::Remove, Done) => remove(phase, state),
        (Verb::Remove, Improper) => here(!matches!(state, Absent | Created | Exited)),
        (Verb::RemoveForce, Done) => remove_force(phase, state),
        (Verb::Exec, Done) => here(matches!(
            state,
            Starting | Running | Dying | Ordered | Stopping
        )),
        (Verb::Exec, Improper) => here(state != Running),
        (Verb::Exec, Overtaken) => match (phase, state) {
            (0, Starting | Running | Dying | Ordered | Stopping) => vec![(state, 1)],
            (1, Running | Paused | Doomed) => vec![],
            (1, _) => vec![(state, DONE)],
            _ => vec![],
        },
        (Verb::Look, Is(word)) => here(looks(state, word)),
        (Verb::Look, _) | (_, Is(_) | InUse | Overtaken | Improper) => vec![],
    }
}

/// Whether a verb with this answer leaves the state as it is in each of its steps, of which there is one.
pub(super) fn changes_nothing(verb: Verb, answer: Answer) -> bool {
    match (verb, answer) {
        (Verb::Look | Verb::Exec, Is(_) | Done | NoSuch) | (Verb::Create, InUse) => true,
        (Verb::Run, InUse) | (Verb::Exec | Verb::Kill | Verb::Unpause, Improper) => true,
        (Verb::Remove, Improper) => true,
        (verb, NoSuch) => verb != Verb::Run,
        _ => false,
    }
}

fn start(answer: Answer, phase: Phase, state: State) -> Vec<(State, Phase)> {
    let begun = 5;
    if phase < begun {
        return match state {
            Created | Exited | Starting if answer == Overtaken => {
                vec![(Starting, begun), (state, 1)]
            }
            Created | Exited | Starting => vec![(Starting, begun)],
            // It runs already, as far as anybody can tell.
            Running | Ordered | Dying if answer == Done => vec![(state, DONE)],
            // What was there, or was just made, is gone before it is started.
            Absent if answer == Overtaken && phase > 0 => vec![(state, DONE)],
            Paused | Doomed | Running | Dying | Ordered | Stopping | GivenUp
                if answer == Overtaken =>
            {
                vec![(state, 1)]
            }
            // The run that ends is waited for.
            Running | Ordered | Stopping | GivenUp | Dying | Doomed | Paused | Absent => vec![],
        };
    }
    match (answer, state) {
        (Done, Starting) => vec![(Running, DONE)],
        // Somebody has acted on what runs.
        (Done, Running | Paused | Doomed | Ordered | Stopping | Dying | Exited | Absent) => {
            vec![(state, DONE)]
        }
        (Overtaken, Created | Ordered | Stopping | GivenUp | Dying | Exited | Absent) => {
            vec![(state, DONE)]
        }
        _ => vec![],
    }
}

fn stop(phase: Phase, state: State) -> Vec<(State, Phase)> {
    match (phase, state) {
        (0, Absent) => vec![],
        (0, Created | Exited) => vec![(state, DONE)],
        (_, Starting) => vec![(Created, DONE), (GivenUp, 1), (Ordered, 1)],
        (0, Running | Paused | Doomed | Dying | Ordered) => vec![(Ordered, 1)],
        (0, Stopping | GivenUp) => vec![(state, 1)],
        (_, Ordered) => vec![],
        (_, Stopping) => vec![(Exited, DONE)],
        (_, GivenUp) => vec![(Created, DONE)],
        // It was stopped, and whatever came then is another's.
        (_, Exited | Created | Absent | Running | Paused | Doomed | Dying) => vec![(state, DONE)],
    }
}

fn restart(answer: Answer, phase: Phase, state: State) -> Vec<(State, Phase)> {
    // It was seen running, and is stopped whoever freezes it before that.
    let decided = 3;
    match (phase, state) {
        (0, Running) => vec![(Ordered, 1), (Running, decided)],
        (0, Dying | Ordered) => vec![(Ordered, 1)],
        (0, Stopping | GivenUp) => vec![(state, 1)],
        (0, Created | Exited | Starting) => start(answer, phase, state),
        (0, Absent | Paused | Doomed) => vec![],
        (1, Ordered) => vec![],
        (1, Stopping) => vec![(Exited, 2)],
        (1, GivenUp) => vec![(Created, 2)],
        (1, Exited | Created | Absent) => vec![(state, 2)],
        (1, Dying | Running | Paused | Doomed | Starting) => vec![(state, 2)],
        (phase, Paused | Doomed) if phase == decided => vec![(Ordered, 1)],
        _ => start(answer, phase, state),
    }
}

fn remove(phase: Phase, state: State) -> Vec<(State, Phase)> {
    match (phase, state) {
        (0, Created | Exited) => vec![(Absent, DONE), (state, 1)],
        (0, Absent) => vec![],
        (0, _) => vec![(state, 1)],
        (_, Created | Exited) => vec![(Absent, DONE)],
        // Another has removed it meanwhile.
        (_, Absent) => vec![(Absent, DONE)],
        _ => vec![],
    }
}

fn remove_force(phase: Phase, state: State) -> Vec<(State, Phase)> {
    match state {
        Absent => vec![(Absent, DONE)],
        Created | Exited => vec![(Absent, DONE)],
        Starting => vec![(Created, 1), (GivenUp, 1), (Ordered, 1)],
        Running | Paused | Doomed | Dying => vec![(Ordered, 1)],
        Ordered | Stopping | GivenUp if phase == 0 => vec![(state, 1)],
        Ordered => vec![],
        Stopping => vec![(Exited, 1)],
        GivenUp => vec![(Created, 1)],
    }
}

fn looks(state: State, word: Word) -> bool {
    match word {
        Word::Created => matches!(state, Created | Starting | Ordered | GivenUp),
        Word::Running => matches!(state, Starting | Running | Dying | Ordered),
        Word::Paused => matches!(state, Paused | Doomed | Ordered),
        Word::Stopping => matches!(state, Ordered | Stopping | GivenUp | Dying),
        Word::Exited => state == Exited,
        // The moment before it is gone.
        Word::Removing => matches!(state, Absent | Created | Exited),
    }
}

/// What happens without a verb.
pub(super) fn by_itself(state: State) -> &'static [State] {
    match state {
        // The payload runs before the client is told.
        Starting => &[Running],
        Dying => &[Exited],
        Ordered => &[Stopping],
        _ => &[],
    }
}
