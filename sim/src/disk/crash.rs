//! What a crash leaves.

use crate::faults::{Fault, Faults};
use crate::random::Random;

use super::SimDisk;
use super::contents::{Contents, SECTOR_BYTES, Write};
use super::state::{Flight, Scar, State};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends, however: what it wrote stays, and is not durable before a sync.
    Kill,
    /// The machine stops: what becomes of everything unsynced is drawn from the faults that are on.
    Power,
}

/// What becomes of every unsynced write, in the crash matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// All survive, and so do changes of names.
    Keep,
    /// None survives, and no change of a name does.
    Drop,
    /// The first half of each, cut at 512 bytes.
    Tear,
    /// Garbage at the place of each.
    Trash,
    /// Of each file only the last one; no change of a name.
    Reorder,
}

impl Policy {
    /// All policies.
    pub const ALL: [Policy; 5] = [Policy::Keep, Policy::Drop, Policy::Tear, Policy::Trash, Policy::Reorder];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Keep => "keep",
            Policy::Drop => "drop",
            Policy::Tear => "tear",
            Policy::Trash => "trash",
            Policy::Reorder => "reorder",
        }
    }
}

/// One time in so many a page that a failed sync lost was on the disk all the same.
const LOST_SURVIVES_PER_MILLE: u64 = 125;

impl SimDisk {
    /// How often, in a thousand, a page whose sync failed is still in the cache when the next process starts; 500
    /// unless told otherwise. Linux keeps such pages, clean, until it needs their room: the next process reads them, and its own
    /// sync says that all is well.
    pub fn keep_lost_pages(&self, per_mille: u64) {
        self.state_mut().lost_stays_per_mille = per_mille;
    }

    /// The process ends: nothing that it has under way completes any more, and its handles are dead.
    pub fn crash(&self, kind: Crash) {
        let faults = self.sim().faults();
        let mut state = self.state_mut();
        let state = &mut *state;
        let unsynced = state.end_process();
        self.sim().note("disk-crash", &[u64::from(kind == Crash::Power), state.operations, unsynced]);
        match kind {
            Crash::Kill => state.land_flights(|random| random.chance(500), partly),
            Crash::Power => {
                // What was in flight is one more unsynced write.
                state.land_flights(|random| random.chance(500), |_, whole| whole);
                state.end_power(
                    |contents, random| draw_fates(contents, random, faults),
                    |names, random| (0..names).find(|_| faults.draw(Fault::NamesLost, random)).unwrap_or(names),
                );
            }
        }
        state.settle(kind);
        self.note_files(state);
    }

    /// The machine stops, and everything unsynced, in flight or not, meets the same fate.
    pub fn crash_with(&self, policy: Policy) {
        let mut state = self.state_mut();
        let state = &mut *state;
        let unsynced = state.end_process();
        self.sim().note("disk-crash-with", &[policy as u64, state.operations, unsynced]);
        state.land_flights(|_| true, |_, whole| whole);
        let keeps_names = matches!(policy, Policy::Keep | Policy::Tear | Policy::Trash);
        state.end_power(|contents, _| policy_fates(contents, policy), |names, _| if keeps_names { names } else { 0 });
        state.settle(Crash::Power);
        self.note_files(state);
    }

    /// So that a difference in what survived is a difference in the trace.
    fn note_files(&self, state: &State) {
        for contents in state.names.now().values().map(|file| &state.files[file]) {
            let fold = |digest: u64, byte: &u8| digest.rotate_left(5) ^ u64::from(*byte).wrapping_mul(0x9e37_79b9);
            self.sim().note("disk-file", &[contents.readable().iter().fold(0, fold)]);
        }
    }
}

/// What becomes of one unsynced write, and the fault that it counts as.
type Fated = (Fate, Option<Fault>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
    Half,
    Tear,
    Trash,
}

impl State {
    /// Gives the count of unsynced writes.
    fn end_process(&mut self) -> u64 {
        self.process += 1;
        if self.stopped {
            self.stop_at = None;
        }
        (self.stopped, self.stop_after, self.full) = (false, None, 0);
        self.files.values().map(|contents| contents.unsynced().len() as u64).sum()
    }

    /// What was in flight happens or not, each for itself, in the order in which it was submitted.
    fn land_flights(
        &mut self,
        mut renames: impl FnMut(&mut Random) -> bool,
        mut lands: impl FnMut(&mut Random, usize) -> usize,
    ) {
        for (flight, operation) in std::mem::take(&mut self.flights) {
            match operation {
                Flight::Write { file, offset, mut bytes } => {
                    bytes.truncate(lands(&mut self.random, bytes.len()));
                    self.land(flight, file, offset, bytes);
                }
                Flight::Names(change) => {
                    if renames(&mut self.random) {
                        self.names.change(change);
                    }
                }
            }
        }
    }

    fn end_power(
        &mut self,
        mut fates: impl FnMut(&Contents, &mut Random) -> Vec<Fated>,
        names_kept: impl FnOnce(usize, &mut Random) -> usize,
    ) {
        for (file, contents) in &mut self.files {
            let fates = fates(contents, &mut self.random);
            let mut survivors = Vec::new();
            for (write, (fate, fault)) in contents.unsynced().iter().zip(fates) {
                survive(write, fate, &mut self.random, &mut survivors);
                self.scars.extend(fault.map(|fault| Scar { file: *file, range: write.range(), fault }));
            }
            contents.end_power(&survivors);
        }
        let unsynced = self.names.unsynced();
        let kept = names_kept(unsynced, &mut self.random);
        self.names_lost |= kept < unsynced;
        self.names.end_power(kept);
    }

    /// Forgets what nobody can see any more.
    fn settle(&mut self, kind: Crash) {
        if kind == Crash::Kill {
            let (random, stays) = (&mut self.random, self.lost_stays_per_mille);
            self.files.values_mut().for_each(|contents| contents.end_process(|| !random.chance(stays)));
        }
        let names = &self.names;
        self.files.retain(|file, _| names.mentions(*file));
        let files = &self.files;
        self.scars.retain(|scar| files.contains_key(&scar.file));
    }
}

/// How much of a write in flight has reached the file when its process is killed.
fn partly(random: &mut Random, whole: usize) -> usize {
    match random.below(4) {
        0 => 0,
        1 => whole,
        _ => SECTOR_BYTES * random.index(whole / SECTOR_BYTES + 1),
    }
}

/// Draws what becomes of each unsynced write of a file. Without any fault all are gone.
fn draw_fates(contents: &Contents, random: &mut Random, faults: &Faults) -> Vec<Fated> {
    let writes = contents.unsynced();
    let reorder = writes.len() > 1 && faults.draw(Fault::CrashReorder, random);
    let (gone, kept) = if reorder {
        let gone = random.index(writes.len() - 1);
        (Some(gone), Some(gone + 1 + random.index(writes.len() - 1 - gone)))
    } else {
        (None, None)
    };
    let fates = writes.iter().enumerate().map(|(index, write)| match Some(index) {
        index if index == gone => (Fate::Drop, Some(Fault::CrashReorder)),
        index if index == kept => (Fate::Keep, None),
        _ if write.lost && !random.chance(LOST_SURVIVES_PER_MILLE) => (Fate::Drop, None),
        _ => draw_fate(random, faults),
    });
    fates.collect()
}

fn draw_fate(random: &mut Random, faults: &Faults) -> Fated {
    let kinds = [
        (Fault::CrashKeep, Fate::Keep),
        (Fault::CrashDrop, Fate::Drop),
        (Fault::CrashTear, if random.chance(500) { Fate::Half } else { Fate::Tear }),
        (Fault::CrashTrash, Fate::Trash),
    ];
    let drawn = kinds.into_iter().find(|(fault, _)| faults.draw(*fault, random));
    drawn.map_or((Fate::Drop, None), |(fault, fate)| (fate, Some(fault)))
}

fn policy_fates(contents: &Contents, policy: Policy) -> Vec<Fated> {
    let count = contents.unsynced().len();
    let fate = |index: usize| match policy {
        Policy::Keep => Fate::Keep,
        Policy::Drop => Fate::Drop,
        Policy::Tear => Fate::Half,
        Policy::Trash => Fate::Trash,
        Policy::Reorder if index + 1 == count => Fate::Keep,
        Policy::Reorder => Fate::Drop,
    };
    (0..count).map(|index| (fate(index), None)).collect()
}

/// The parts of a write that a loss of power leaves.
fn survive(write: &Write, fate: Fate, random: &mut Random, survivors: &mut Vec<(usize, Vec<u8>)>) {
    match fate {
        Fate::Keep => survivors.push((write.offset, write.bytes.clone())),
        Fate::Drop => {}
        Fate::Half => {
            let half = (write.bytes.len() / SECTOR_BYTES / 2).max(1) * SECTOR_BYTES;
            survivors.push((write.offset, write.bytes[..half.min(write.bytes.len())].to_vec()));
        }
        Fate::Tear => {
            let sectors = write.sectors().filter(|_| random.chance(500));
            survivors.extend(sectors.map(|(offset, part)| (offset, part.to_vec())));
        }
        Fate::Trash => {
            let sectors = write.sectors().map(|(offset, part)| {
                let garbage = part.iter().map(|_| random.bits() as u8).collect();
                (offset, garbage)
            });
            survivors.extend(sectors);
        }
    }
}
