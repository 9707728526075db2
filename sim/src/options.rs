//! What is drawn for a seed before it runs. Each seed switches kinds of faults on and off (swarm testing, Groce et al. 2012), so
//! that each is also seen alone.

use std::ops::Range;

use orderlane_lane::Limits;

use crate::faults::{Fault, FaultSet};
use crate::random::Random;

/// A world, before it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed: everything else follows from it, unless it was cut.
    pub seed: u64,
    /// Kinds of faults that may happen.
    pub faults: FaultSet,
    /// How many times as often as usual.
    pub fault_factor: u64,
    /// Shards of the data directory.
    pub shards: u16,
    /// Lanes of the first start.
    pub lanes: u16,
    /// Products.
    pub skus: u16,
    /// Customers.
    pub customers: u16,
    /// Clients that work at the same time.
    pub clients: u16,
    /// Operations of all clients together.
    pub operations: u32,
    /// Operations that are left out: what a shrinker cut.
    pub cuts: Vec<Range<u32>>,
    /// Units of each product at the start; few make them run out.
    pub stock: u64,
    /// One time in a thousand a line takes the hot product.
    pub hot_per_mille: u64,
    /// From placing to the end of the hold, microseconds.
    pub hold_ttl_micros: u64,
    /// Between two operations of a client, microseconds at most.
    pub pause_micros_max: u64,
    /// Bytes of the first and of every other segment of a lane.
    pub segment_bytes: (u64, u64),
    /// Bounds of the lanes.
    pub limits: Limits,
    /// Crashes and stops, at most.
    pub crashes_max: u32,
    /// So long after the end of its saga an order answers for its idempotency key, microseconds.
    pub key_retention_micros: u64,
    /// What leaves the memory, and when; `None`: nothing ever does.
    pub archive: Option<ArchiveOptions>,
}

/// The bounds of an archive: tiny ones, so that a short life sees many cuts and windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// Quiet orders of a lane that begin a cut.
    pub run_orders: u64,
    /// Bytes of the journal of a lane that begin a cut.
    pub cut_bytes: u64,
    /// Orders of a window.
    pub window_orders: u64,
    /// Things that a slice of a cut, or of an eviction, looks at.
    pub slice: usize,
    /// Bytes of a checkpoint that are written at once.
    pub chunk_bytes: usize,
}

impl Options {
    /// What the seed draws.
    #[must_use]
    pub fn draw(seed: u64) -> Options {
        let mut random = Random::named(seed, "options");
        // A stream of its own: worlds without an archive are what they were before there was one.
        let mut archive_random = Random::named(seed, "archive");
        let archive = ArchiveOptions::draw(&mut archive_random);
        let mut faults = draw_faults(&mut random);
        if archive.is_some() {
            faults = draw_archive_faults(faults, &mut archive_random);
        }
        let shards = random.between(1, 6) as u16;
        let small = faults.has(Fault::InboxFull);
        let operations_max = *random.pick(&[60, 200, 200, 600]);
        // An audit asks all shards at once: a queue that is shorter than that would refuse every one.
        let limits = Limits {
            ring_slots: if faults.has(Fault::RingFull) { random.between(1, 4) as usize } else { 1024 },
            inbox_requests_max: if small { random.between(u64::from(shards).max(2), 12) as usize } else { 1024 },
            outbox_requests_max: if small { random.between(u64::from(shards), 6) as usize } else { 1024 },
            batch_max: *random.pick(&[1, 2, 8, 64, 256]),
            rounds_max: *random.pick(&[1, 4, 16]),
            commit_bytes_max: *random.pick(&[1_000, 16_000, 1_000_000]),
        };
        Options {
            seed,
            faults,
            fault_factor: *random.pick(&[1, 1, 1, 5]),
            shards,
            lanes: random.between(1, u64::from(shards)) as u16,
            skus: random.between(1, 12) as u16,
            customers: random.between(1, 16) as u16,
            clients: random.between(1, 12) as u16,
            operations: random.between(20, operations_max) as u32,
            cuts: Vec::new(),
            stock: *random.pick(&[1, 5, 50, 10_000]),
            hot_per_mille: *random.pick(&[0, 300, 900]),
            hold_ttl_micros: *random.pick(&[200_000, 2_000_000, 60_000_000]),
            pause_micros_max: *random.pick(&[200, 5_000, 500_000]),
            segment_bytes: *random.pick(&[(16 << 10, 16 << 10), (16 << 10, 64 << 10), (64 << 10, 256 << 10)]),
            limits,
            crashes_max: *random.pick(&[0, 1, 3, 6, 12]),
            key_retention_micros: match archive {
                Some(_) => *archive_random.pick(&[50_000, 1_000_000, 20_000_000, KEY_RETENTION_MICROS]),
                None => KEY_RETENTION_MICROS,
            },
            archive,
        }
    }

    /// Whether orders answer for their keys only for a while that a world lives to see.
    #[must_use]
    pub fn keys_expire(&self) -> bool {
        self.key_retention_micros < KEY_RETENTION_MICROS
    }

    /// Whether an operation was cut.
    #[must_use]
    pub fn is_cut(&self, operation: u32) -> bool {
        self.cuts.iter().any(|cut| cut.contains(&operation))
    }
}

/// What the product keeps a key for; no world lives so long.
const KEY_RETENTION_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// Whether the worlds that are drawn have an archive.
const HAS_ARCHIVE: bool = true;

impl ArchiveOptions {
    fn draw(random: &mut Random) -> Option<ArchiveOptions> {
        let archive = ArchiveOptions {
            run_orders: *random.pick(&[8, 16, 64]),
            cut_bytes: *random.pick(&[16 << 10, 64 << 10, 1 << 20]),
            window_orders: *random.pick(&[64, 128, 512]),
            slice: *random.pick(&[1, 3, 16]),
            chunk_bytes: *random.pick(&[64, 512, 4096]),
        };
        (random.chance(800) && HAS_ARCHIVE).then_some(archive)
    }
}

/// The kinds that need an archive: in one world of eight one of them alone, else each with an even chance; none where there are
/// no others either.
fn draw_archive_faults(faults: FaultSet, random: &mut Random) -> FaultSet {
    if faults == FaultSet::default() || faults == FaultSet::all() {
        return faults;
    }
    if random.below(8) == 0 {
        return alone(*random.pick(Fault::OF_ARCHIVE));
    }
    Fault::OF_ARCHIVE.iter().filter(|_| random.chance(500)).fold(faults, |set, fault| set.with(*fault))
}

/// One seed in ten has one kind alone, one in twenty has none, one in ten has all; the others have each with an even chance.
fn draw_faults(random: &mut Random) -> FaultSet {
    match random.below(20) {
        0 => FaultSet::default(),
        1 | 2 => alone(*random.pick(Fault::OF_ALL_WORLDS)),
        3 | 4 => FaultSet::all(),
        _ => Fault::OF_ALL_WORLDS
            .iter()
            .filter(|_| random.chance(500))
            .fold(FaultSet::default(), |set, fault| set.with(*fault)),
    }
}

/// One kind, and what it cannot be without: what becomes of unsynced writes needs a loss of power.
fn alone(fault: Fault) -> FaultSet {
    let set = FaultSet::default().with(fault);
    match fault {
        Fault::CrashKeep
        | Fault::CrashDrop
        | Fault::CrashTear
        | Fault::CrashTrash
        | Fault::CrashReorder
        | Fault::NamesLost
        | Fault::ReadError
        | Fault::StaleRead
        | Fault::MisdirectedRead
        | Fault::BitRot
        | Fault::CrashInRecovery => set.with(Fault::PowerLoss),
        Fault::CheckpointRot => set.with(Fault::ProcessKill),
        Fault::LateRetry => set.with(Fault::Retry),
        Fault::OtherLaneCount => set.with(Fault::ProcessKill),
        Fault::AnswerAfterEnd => set.with(Fault::CancelAnyTime),
        Fault::LateMoney => set.with(Fault::ChargeLost),
        _ => set,
    }
}
