//! Signals by name and number (signal(7), Linux on x86, arm, risc-v and most others).

use std::fmt;
use std::str::FromStr;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// A signal that can be sent: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

/// Why a text or number is no signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}")]
pub struct SignalError(String);

impl Signal {
    /// SIGHUP.
    pub const HUP: Signal = Signal(1);
    /// SIGINT.
    pub const INT: Signal = Signal(2);
    /// SIGQUIT.
    pub const QUIT: Signal = Signal(3);
    /// SIGKILL.
    pub const KILL: Signal = Signal(9);
    /// SIGPIPE.
    pub const PIPE: Signal = Signal(13);
    /// SIGTERM.
    pub const TERM: Signal = Signal(15);

    /// The signal of this number.
    ///
    /// # Errors
    /// The number is not within 1 to 64.
    pub fn from_number(number: i64) -> Result<Self, SignalError> {
        match u8::try_from(number) {
            Ok(n) if (1..=RTMAX).contains(&n) => Ok(Self(n)),
            _ => Err(SignalError(number.to_string())),
        }
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    /// Takes `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`, as podman-kill(1) does.
    fn from_str(text: &str) -> Result<Self, SignalError> {
        let unknown = || SignalError(text.chars().take(40).collect());
        if let Ok(number) = text.parse::<u8>() {
            return Self::from_number(i64::from(number)).map_err(|_| unknown());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let aliased = match name {
            "POLL" => "IO",
            "IOT" => "ABRT",
            "CLD" => "CHLD",
            other => other,
        };
        if let Some(at) = NAMES.iter().position(|known| *known == aliased) {
            return Ok(Self(at as u8 + 1));
        }
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => Some(RTMIN),
            (Some(rest), _) => offset(rest, '+').and_then(|n| RTMIN.checked_add(n)),
            (_, Some("")) => Some(RTMAX),
            (_, Some(rest)) => offset(rest, '-').and_then(|n| RTMAX.checked_sub(n)),
            (None, None) => None,
        };
        number
            .filter(|n| (RTMIN..=RTMAX).contains(n))
            .map(Self)
            .ok_or_else(unknown)
    }
}

fn offset(rest: &str, sign: char) -> Option<u8> {
    rest.strip_prefix(sign)?.parse().ok()
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 <= RTMIN => write!(f, "SIGRTMIN"),
            None => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

stored_as_text!(Signal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_by_its_name() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal));
            assert_eq!(number.to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn names_are_taken_as_podman_takes_them() {
        assert_eq!("TERM".parse(), Ok(Signal::TERM));
        assert_eq!("sigterm".parse(), Ok(Signal::TERM));
        assert_eq!("RTMAX-1".parse::<Signal>().map(Signal::number), Ok(63));
        for bad in [
            "", "0", "65", "SIG", "RTMIN-1", "RTMIN+31", "RTMAX+1", "TERM ", "-1",
        ] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
