//! Bits that flip in files at rest.

use orderlane_journal::SegmentName;

use crate::faults::Fault;
use crate::random::Random;

use super::SimDisk;
use super::directory::is_checkpoint;
use super::state::Scar;

/// A bit that has flipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rot {
    /// The file.
    pub name: String,
    /// The byte.
    pub offset: u64,
    /// The bit of it, from 0.
    pub bit: u8,
}

/// How often it is a byte that is not zero: most of a young segment is empty.
const WRITTEN_PER_MILLE: u64 = 800;

impl SimDisk {
    /// Between a crash and the next start: draws [`Fault::BitRot`], and flips a bit of a durable byte of any segment if it
    /// happens; not where it is to be spared. It is observed when the byte is read.
    pub fn rot(&self, random: &mut Random) -> Option<Rot> {
        self.rot_one(random, Fault::BitRot, |name| SegmentName::parse(name).is_some())
    }

    /// The same for [`Fault::CheckpointRot`]: one checkpoint is damaged, the one before must do.
    pub fn rot_checkpoint(&self, random: &mut Random) -> Option<Rot> {
        self.rot_one(random, Fault::CheckpointRot, is_checkpoint)
    }

    fn rot_one(&self, random: &mut Random, fault: Fault, can_rot: fn(&str) -> bool) -> Option<Rot> {
        let faults = self.sim().faults();
        if !faults.is_on(fault) || !random.chance(faults.per_mille(fault)) {
            return None;
        }
        let mut state = self.state_mut();
        let files = state.names.now().iter().filter(|(name, _)| can_rot(name));
        let files: Vec<_> = files.filter(|(_, file)| !state.files[file].durable().is_empty()).collect();
        if files.is_empty() {
            return None;
        }
        let (name, file) = *random.pick(&files);
        let (name, file) = (name.clone(), *file);
        let bytes = state.files[&file].durable();
        let mut offset = random.index(bytes.len());
        if random.chance(WRITTEN_PER_MILLE) {
            let is_written = |offset: &usize| bytes[*offset] != 0;
            offset = (offset..bytes.len()).chain(0..offset).find(is_written).unwrap_or(offset);
        }
        let bit = random.below(8) as u8;
        if state.hides_spared(&[(file, offset..offset + 1)]) {
            return None;
        }
        state.file(file).flip(offset, bit);
        state.rots.push((file, offset, bit));
        state.scars.push(Scar { file, range: offset..offset + 1, fault });
        faults.injected(fault);
        self.sim().note("disk-rot", &[file, offset as u64, u64::from(bit)]);
        Some(Rot { name, offset: offset as u64, bit })
    }

    /// Flips all bits back, as the copy does from which a damaged file is restored.
    pub fn unrot(&self) {
        let mut state = self.state_mut();
        for (file, offset, bit) in std::mem::take(&mut state.rots) {
            if let Some(contents) = state.files.get_mut(&file) {
                contents.flip(offset, bit);
                self.sim().note("disk-unrot", &[file, offset as u64, u64::from(bit)]);
            }
        }
    }
}
