//! How much room the disk has. Others use it, too: they fill it nearly up and give the room back after a while.

use super::SimDisk;
use super::names::FileId;
use super::state::State;
use crate::invariants::room_left;

/// The room of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free: u64,
    /// Bytes that the files and the archive take.
    pub used: u64,
}

impl SimDisk {
    /// From now on only so many bytes are free, until more are written or it is said again; `None`: as many as one likes.
    pub fn leave_room(&self, free: Option<u64>) {
        let mut state = self.state_mut();
        state.capacity = free.map(|free| used(&state) + free);
        self.sim().note("disk-room", &[free.unwrap_or(u64::MAX)]);
    }

    /// The room there is now.
    #[must_use]
    pub fn room(&self) -> Room {
        room(&self.state())
    }

    /// Whether a write to this file has room. Where it has none, the engine went on for too long.
    pub(super) fn fits(&self, state: &State, file: FileId, offset: usize, bytes: usize) -> bool {
        let length = state.files.get(&file).map_or(0, |contents| contents.readable().len());
        self.has_room(state, (offset + bytes).saturating_sub(length))
    }

    /// Whether so many bytes more have room.
    pub(super) fn has_room(&self, state: &State, bytes: usize) -> bool {
        if state.capacity.is_none() {
            return true;
        }
        let Err(text) = room_left::check(room(state).free, bytes as u64) else { return true };
        self.sim().violate(room_left::NAME, None, text);
        false
    }
}

fn room(state: &State) -> Room {
    let used = used(state);
    Room { free: state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used)), used }
}

fn used(state: &State) -> u64 {
    let named = |file: &FileId| state.names.now().values().any(|named| named == file);
    let files = state.files.iter().filter(|(file, _)| named(file));
    files.map(|(_, contents)| contents.readable().len() as u64).sum::<u64>() + state.store.bytes()
}
