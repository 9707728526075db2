//! Every kind of fault: which are on in this seed, how often each was injected, and how often it was really met.
//!
//! A fault that was injected has not tested anything until the engine met it (traps 28): the two are counted apart, and a run
//! that never saw a kind fails.

use std::cell::{Cell, RefCell};

use crate::random::Random;

macro_rules! faults {
    ($($variant:ident $name:literal $per_mille:literal $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(#[doc = $text] $variant,)*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            /// What it does.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Fault::$variant => $text,)* }
            }

            /// How many of a thousand chances it takes, when it is on.
            #[must_use]
            pub fn per_mille(self) -> u64 {
                match self { $(Fault::$variant => $per_mille,)* }
            }
        }
    };
}

faults! {
    // Disk, at a crash: what becomes of each write that no sync has covered.
    CrashKeep "crash-keep" 300 "an unsynced write survives the crash",
    CrashDrop "crash-drop" 300 "an unsynced write is gone after the crash",
    CrashTear "crash-tear" 300 "an unsynced write survives in part, cut at 512 bytes",
    CrashTrash "crash-trash" 300 "an unsynced write leaves garbage at its place",
    CrashReorder "crash-reorder" 300 "a later unsynced write survives and an earlier one does not",
    NamesLost "names-lost" 500 "a created, renamed or removed name whose directory was not synced is as before",
    // Disk, while it runs.
    WriteError "write-error" 2 "a write fails with EIO, a part of it done",
    NoSpace "no-space" 2 "a write fails with ENOSPC, a part of it done",
    ShortWrite "short-write" 100 "a write reaches the file piece by piece, with time in between",
    CreateError "create-error" 20 "a file cannot be made or renamed",
    SyncError "sync-error" 4 "a sync fails; its pages are gone and clean afterwards",
    SlowSync "slow-sync" 50 "a sync takes up to seconds",
    // Disk, at a start.
    ReadError "read-error" 10 "a read fails with EIO",
    StaleRead "stale-read" 10 "a read gives the bytes of before the last sync",
    MisdirectedRead "misdirected-read" 10 "a read gives the bytes of another place",
    BitRot "bit-rot" 300 "a bit of a file at rest has flipped",
    // Time.
    ClockSkew "clock-skew" 1000 "the lanes' clocks differ",
    ClockJump "clock-jump" 300 "a lane's clock is set forward or back",
    TimerEarly "timer-early" 100 "a timer fires before its time by the lane's clock",
    TimerLate "timer-late" 100 "a timer fires late",
    // Lanes.
    LaneStall "lane-stall" 300 "a lane does not run for a while",
    SlowPrefetch "slow-prefetch" 100 "the read before a batch takes time",
    RingFull "ring-full" 1000 "a ring between two lanes is full",
    InboxFull "inbox-full" 1000 "a queue is full and a request is refused before it is stored",
    ProcessKill "process-kill" 300 "the process is killed: what it wrote stays",
    PowerLoss "power-loss" 300 "the machine loses its power: what was not synced is uncertain",
    CrashInRecovery "crash-in-recovery" 300 "the next crash comes while the start reads or tidies the files",
    OtherLaneCount "other-lane-count" 500 "the next start has another count of lanes",
    GracefulStop "graceful-stop" 200 "the process drains and is started again",
    // Payment provider and mailer.
    ChargeDeclined "charge-declined" 100 "the provider refuses a charge",
    ChargeLost "charge-lost" 60 "a charge never reaches the provider: no answer, or the caller knows it",
    ChargeUnanswered "charge-unanswered" 80 "the provider charges and its answer is lost",
    AnswerLate "answer-late" 80 "an answer takes longer than the caller waits: unknown first, then it comes",
    AnswerTwice "answer-twice" 60 "an answer comes twice",
    AnswerAfterEnd "answer-after-end" 60 "an answer comes when the order is being cancelled, has expired or has ended",
    LookUpUnanswered "look-up-unanswered" 100 "a look-up has no answer",
    LateMoney "late-money" 200 "a charge that a look-up did not find takes the money after all",
    RefundUnanswered "refund-unanswered" 100 "a refund has no answer",
    Outage "outage" 300 "the provider answers nothing for a long time",
    MailLost "mail-lost" 100 "the mailer fails",
    // Clients and their connections.
    Retry "retry" 300 "a client sends the same request with the same key again, to any lane",
    CarelessKey "careless-key" 60 "a client uses a key again with another body",
    CancelAnyTime "cancel-any-time" 300 "a client cancels at any moment",
    Pipelining "pipelining" 150 "a client sends requests before it has the answers",
    HalfRequest "half-request" 30 "a client sends a part of a request and goes away",
    Disconnect "disconnect" 60 "a client goes away before the answer",
    SplitBytes "split-bytes" 400 "bytes arrive piece by piece",
    Reset "connection-reset" 20 "a connection breaks in the middle",
    // The archive and its keeper; only where the world has one.
    CheckpointRot "checkpoint-rot" 500 "a bit of a checkpoint at rest has flipped",
    ArchiveReadError "archive-read-error" 5 "a read of the archive fails",
    ArchiveWriteError "archive-write-error" 5 "a write to the archive fails, and happens or not",
    KeeperStall "keeper-stall" 300 "the keeper of the archive does not run for a while",
    SlowArchive "slow-archive" 100 "a step of the keeper takes long",
    DiskFull "disk-full" 200 "others fill the disk nearly up, for a while",
    LateRetry "late-retry" 300 "a client sends a request again when its key has expired",
}

impl Fault {
    /// The kinds that need no archive.
    pub const OF_ALL_WORLDS: &[Fault] = Fault::ALL.split_at(Fault::CheckpointRot as usize).0;
    /// The kinds that end a lane which meets them.
    pub const OF_LANE_DISKS: [Fault; 4] = [Fault::WriteError, Fault::NoSpace, Fault::CreateError, Fault::SyncError];

    /// Whether a lane ends that meets this.
    #[must_use]
    pub fn fails_lanes(self) -> bool {
        Fault::OF_LANE_DISKS.contains(&self)
    }

    /// The kinds that need an archive.
    pub const OF_ARCHIVE: &[Fault] = Fault::ALL.split_at(Fault::CheckpointRot as usize).1;
}

/// No kind is made more frequent than this by a factor.
const PER_MILLE_MAX: u64 = 400;

/// The faults of one world.
#[derive(Debug)]
pub struct Faults {
    on: u64,
    factor: u64,
    active: Cell<bool>,
    injected: RefCell<Vec<u64>>,
    observed: RefCell<Vec<u64>>,
}

const _: () = assert!(Fault::ALL.len() <= u64::BITS as usize, "a set of faults is a u64");

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSet(pub u64);

impl FaultSet {
    /// All kinds.
    #[must_use]
    pub fn all() -> FaultSet {
        Fault::ALL.iter().fold(FaultSet(0), |set, fault| set.with(*fault))
    }

    /// This set and one more.
    #[must_use]
    pub fn with(self, fault: Fault) -> FaultSet {
        FaultSet(self.0 | 1 << fault as u64)
    }

    /// This set without one.
    #[must_use]
    pub fn without(self, fault: Fault) -> FaultSet {
        FaultSet(self.0 & !(1 << fault as u64))
    }

    /// Whether it holds this kind.
    #[must_use]
    pub fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u64 != 0
    }

    /// Its kinds.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(move |fault| self.has(*fault))
    }
}

impl Faults {
    /// With these kinds on, so many times as often as usual.
    #[must_use]
    pub fn new(on: FaultSet, factor: u64) -> Faults {
        let zeros = || RefCell::new(vec![0; Fault::ALL.len()]);
        Faults { on: on.0, factor, active: Cell::new(true), injected: zeros(), observed: zeros() }
    }

    /// Whether this kind may happen now.
    #[must_use]
    pub fn is_on(&self, fault: Fault) -> bool {
        self.active.get() && FaultSet(self.on).has(fault)
    }

    /// Draws whether this kind happens now; if so it counts as injected.
    pub fn draw(&self, fault: Fault, random: &mut Random) -> bool {
        let happens = self.is_on(fault) && random.chance(self.per_mille(fault));
        if happens {
            self.injected(fault);
        }
        happens
    }

    /// How many of a thousand chances a kind takes here: never nearly all, if it does not usually.
    #[must_use]
    pub fn per_mille(&self, fault: Fault) -> u64 {
        (fault.per_mille() * self.factor).min(fault.per_mille().max(PER_MILLE_MAX))
    }

    /// This kind was injected.
    pub fn injected(&self, fault: Fault) {
        self.injected.borrow_mut()[fault as usize] += 1;
    }

    /// The engine has met this kind.
    pub fn observed(&self, fault: Fault) {
        self.observed.borrow_mut()[fault as usize] += 1;
    }

    /// From now on nothing fails any more.
    pub fn heal(&self) {
        self.active.set(false);
    }

    /// Whether faults may still happen.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.get()
    }

    /// How often each kind was injected and observed, in the order of [`Fault::ALL`].
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.injected.borrow().iter().copied().zip(self.observed.borrow().iter().copied()).collect()
    }
}
