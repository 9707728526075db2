//! What all handles of a disk share.

use orderlane_archive::MemoryStore;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use orderlane_journal::{Identity, SegmentName};

use crate::faults::Fault;
use crate::random::Random;

use super::contents::Contents;
use super::frames::Frames;
use super::names::{FileId, NameChange, Names};

/// The disk, and what its process has under way on it.
pub(super) struct State {
    pub(super) files: BTreeMap<FileId, Contents>,
    pub(super) names: Names,
    /// Submitted and not complete, by number.
    pub(super) flights: BTreeMap<u64, Flight>,
    /// Files, writes and flights are numbered from one counter.
    numbers: u64,
    /// Which process may use the disk; those before are dead.
    pub(super) process: u64,
    /// The machine has stopped in the middle: nothing completes any more.
    pub(super) stopped: bool,
    pub(super) operations: u64,
    /// The mutating operation at which everything stops.
    pub(super) stop_at: Option<u64>,
    /// Operations of any kind until everything stops.
    pub(super) stop_after: Option<u64>,
    /// Operations that will still find the disk full.
    pub(super) full: u64,
    /// Bytes that there is room for in all; `None`: as many as one likes.
    pub(super) capacity: Option<u64>,
    /// The archive: always durable.
    pub(super) store: MemoryStore,
    pub(super) scars: Vec<Scar>,
    /// Changes of names that the last loss of power took, until somebody lists the names.
    pub(super) names_lost: bool,
    /// How often a page whose sync failed outlives its process.
    pub(super) lost_stays_per_mille: u64,
    /// Whose journal is spared damage that nobody can know.
    pub(super) spared: Option<Identity>,
    pub(super) rots: Vec<(FileId, usize, u8)>,
    pub(super) random: Random,
}

/// An operation that is under way, as far as a crash may let it happen.
pub(super) enum Flight {
    /// The rest of a write.
    Write { file: FileId, offset: usize, bytes: Vec<u8> },
    /// A change of the names.
    Names(NameChange),
}

/// What a fault did to a file: it is observed when somebody reads there.
pub(super) struct Scar {
    pub(super) file: FileId,
    pub(super) range: Range<usize>,
    pub(super) fault: Fault,
}

impl State {
    pub(super) fn new(random: Random) -> State {
        State {
            files: BTreeMap::new(),
            names: Names::default(),
            flights: BTreeMap::new(),
            numbers: 0,
            process: 0,
            stopped: false,
            operations: 0,
            stop_at: None,
            stop_after: None,
            full: 0,
            capacity: None,
            store: MemoryStore::default(),
            scars: Vec::new(),
            names_lost: false,
            lost_stays_per_mille: 500,
            spared: None,
            rots: Vec::new(),
            random,
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether this process may still use the disk.
    pub(super) fn is_alive(&self, process: u64) -> bool {
        self.process == process && !self.stopped
    }

    /// An operation is submitted, which may be the one at which everything stops.
    pub(super) fn submit(&mut self, mutating: bool) {
        if mutating {
            self.stopped |= self.stop_at == Some(self.operations);
            self.operations += 1;
        }
        if let Some(left) = &mut self.stop_after {
            *left = left.saturating_sub(1);
            self.stopped |= *left == 0;
        }
    }

    pub(super) fn file(&mut self, file: FileId) -> &mut Contents {
        self.files.get_mut(&file).expect("a file stays while a handle of a living process has it")
    }

    pub(super) fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.now().get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A part of a write arrives, of the flight with this number.
    pub(super) fn land(&mut self, flight: u64, file: FileId, offset: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let number = self.number();
            self.file(file).land(number, flight, offset, bytes);
        }
    }

    /// Faults that somebody meets who reads there.
    pub(super) fn take_scars(&mut self, file: FileId, range: &Range<usize>) -> Vec<Fault> {
        let met = |scar: &mut Scar| scar.file == file && scar.range.start < range.end && range.start < scar.range.end;
        self.scars.extract_if(.., met).map(|scar| scar.fault).collect()
    }

    /// Whether damage to these places, added to what has rotted, would hide the end of a journal that is to be spared.
    pub(super) fn hides_spared(&self, damaged: &[(FileId, Range<usize>)]) -> bool {
        let Some(identity) = self.spared else { return false };
        let segments = self.names.now().iter().filter_map(|(name, file)| Some((SegmentName::parse(name)?, *file)));
        let sound: BTreeMap<SegmentName, (FileId, Vec<u8>)> =
            segments.map(|(name, file)| (name, (file, self.sound(file)))).collect();
        let segments = sound.iter().map(|(name, (_, bytes))| (*name, bytes.as_slice()));
        // A journal that is not sound even so is refused in any case.
        let Ok(frames) = Frames::of(identity, segments) else { return false };
        let rotten = self.rots.iter().map(|(file, offset, _)| (*file, *offset..*offset + 1));
        let damaged: Vec<(FileId, Range<usize>)> = damaged.iter().cloned().chain(rotten).collect();
        frames.hides_tail(|frame| {
            let file = sound[&frame.segment].0;
            let overlaps = |range: &Range<usize>| range.start < frame.range.end && frame.range.start < range.end;
            damaged.iter().any(|(damaged, range)| *damaged == file && overlaps(range))
        })
    }

    /// What will be there of a file at the latest when its cache is dropped, without its rot.
    fn sound(&self, file: FileId) -> Vec<u8> {
        let mut bytes = self.files[&file].lasting();
        for (_, offset, bit) in self.rots.iter().filter(|(rotten, ..)| *rotten == file) {
            if let Some(byte) = bytes.get_mut(*offset) {
                *byte ^= 1 << bit;
            }
        }
        bytes
    }
}
