//! What systemd tells about a unit and a job.

use crate::types::Restart;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this program does not know.
            Other(String),
        }

        impl $name {
            /// Reads systemd's word.
            pub fn from_word(word: &str) -> Self {
                match word {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }

            /// systemd's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(word) => word,
                }
            }
        }
    };
}

words! {
    /// Whether the unit's file was read.
    LoadState {
        /// Never read.
        Stub = "stub",
        /// Read.
        Loaded = "loaded",
        /// There is none.
        NotFound = "not-found",
        /// It misses something needed, or has a wrong value.
        BadSetting = "bad-setting",
        /// It cannot be read.
        Error = "error",
        /// Another name of a unit.
        Merged = "merged",
        /// A link to /dev/null.
        Masked = "masked",
    }
}

words! {
    /// The unit's state.
    ActiveState {
        /// Started.
        Active = "active",
        /// Started, reading its configuration again.
        Reloading = "reloading",
        /// Not started, ended well or stopped.
        Inactive = "inactive",
        /// Ended badly.
        Failed = "failed",
        /// Being started, or waiting for its automatic restart.
        Activating = "activating",
        /// Being stopped.
        Deactivating = "deactivating",
        /// Its directories are being cleaned (`systemctl clean`).
        Maintenance = "maintenance",
        /// Started, its credentials being read again.
        Refreshing = "refreshing",
    }
}

words! {
    /// State of the cgroup freezer of the whole unit.
    FreezerState {
        /// Not frozen.
        Running = "running",
        /// Being frozen.
        Freezing = "freezing",
        /// Frozen.
        Frozen = "frozen",
        /// Being frozen with its slice.
        FreezingByParent = "freezing-by-parent",
        /// Frozen with its slice.
        FrozenByParent = "frozen-by-parent",
        /// Being thawed.
        Thawing = "thawing",
    }
}

words! {
    /// How a job ended (org.freedesktop.systemd1(5), "JobRemoved").
    JobResult {
        /// As wanted.
        Done = "done",
        /// The unit failed.
        Failed = "failed",
        /// Another job took its place, or it was cancelled.
        Canceled = "canceled",
        /// The job's own timeout.
        Timeout = "timeout",
        /// A unit that this one requires did not start.
        Dependency = "dependency",
        /// Nothing to do for this unit in its state.
        Skipped = "skipped",
        /// The unit is frozen; thaw it first.
        Frozen = "frozen",
    }
}

impl ActiveState {
    /// Whether it is started, whatever it reads again.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Active | Self::Reloading | Self::Refreshing)
    }

    /// Whether nothing of the unit runs and nothing will by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }
}

impl FreezerState {
    /// Whether the unit has to be thawed before it can be stopped.
    pub fn needs_thaw(&self) -> bool {
        *self != Self::Running
    }
}

/// The state of a unit, as `systemctl show` tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitStatus {
    /// LoadState.
    pub load_state: LoadState,
    /// ActiveState.
    pub active_state: ActiveState,
    /// SubState, such as `running`, `dead`, `auto-restart`.
    pub sub_state: String,
    /// Result: `success`, `exit-code`, `signal`, `oom-kill`, `watchdog` ...
    pub result: String,
    /// ExecMainCode: 0, or CLD_EXITED (1), CLD_KILLED (2), CLD_DUMPED (3) of waitid(2).
    pub exec_main_code: i32,
    /// ExecMainStatus: exit code or signal.
    pub exec_main_status: i32,
    /// Start of the main process, microseconds since the epoch; 0: none.
    pub exec_main_start: u64,
    /// End of the main process, microseconds since the epoch; 0: none.
    pub exec_main_exit: u64,
    /// Main process; 0: none.
    pub main_pid: u32,
    /// The unit's file changed after it was read.
    pub need_daemon_reload: bool,
    /// Freezer of the whole unit.
    pub freezer_state: FreezerState,
    /// Id of the current or last run, 32 hex digits; empty: never run.
    pub invocation_id: String,
    /// Automatic restarts since the last start.
    pub n_restarts: u32,
    /// Restart=; none: nobody has asked, or there is no unit.
    pub restart: Option<Restart>,
    /// Its cgroup below /sys/fs/cgroup; empty: none.
    pub control_group: String,
    /// The last STATUS= of sd_notify(3).
    pub status_text: String,
    /// Its file; empty: none.
    pub fragment_path: String,
}

impl UnitStatus {
    /// A unit that nobody knows.
    pub fn not_found() -> Self {
        Self {
            load_state: LoadState::NotFound,
            active_state: ActiveState::Inactive,
            sub_state: "dead".to_owned(),
            result: "success".to_owned(),
            exec_main_code: 0,
            exec_main_status: 0,
            exec_main_start: 0,
            exec_main_exit: 0,
            main_pid: 0,
            need_daemon_reload: false,
            freezer_state: FreezerState::Running,
            invocation_id: String::new(),
            n_restarts: 0,
            restart: None,
            control_group: String::new(),
            status_text: String::new(),
            fragment_path: String::new(),
        }
    }
}

/// A line of `systemctl list-units`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitSummary {
    /// Description.
    pub description: String,
    /// LoadState.
    pub load_state: LoadState,
    /// ActiveState.
    pub active_state: ActiveState,
    /// SubState.
    pub sub_state: String,
    /// Whether a job waits or runs for it.
    pub has_job: bool,
}
