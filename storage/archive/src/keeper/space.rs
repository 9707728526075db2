//! The watch over the disk: new orders are refused before the journal finds no room.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use orderlane_lane::Directory;

use crate::message::FromKeeper;
use crate::store::Store;

use super::Keeper;

/// How full the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes of the data directory.
    pub used: u64,
}

/// Measures the disk.
pub trait Space: Send {
    /// As it is now.
    ///
    /// # Errors
    /// What the system said.
    fn measure(&self) -> io::Result<DiskSpace>;
}

/// What the disk keeps free, and what the data directory may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// Below this many bytes of room new orders are refused; from five quarters of it on they are taken again.
    pub reserve_bytes: u64,
    /// Bytes of the data directory, at most: room is what is left of this or of the disk, whichever is less.
    pub data_bytes_max: Option<u64>,
}

impl Default for DiskLimits {
    fn default() -> DiskLimits {
        DiskLimits { reserve_bytes: crate::limits::RESERVE_BYTES, data_bytes_max: None }
    }
}

impl DiskLimits {
    /// Whether new orders are to be refused, when they were (or were not) so far.
    fn sheds(&self, shed: bool, space: DiskSpace) -> bool {
        let left = self.data_bytes_max.map_or(u64::MAX, |most| most.saturating_sub(space.used));
        let room = space.free.min(left);
        let enough = if shed { self.reserve_bytes.saturating_add(self.reserve_bytes / 4) } else { self.reserve_bytes };
        room < enough
    }
}

/// The disk of the operating system.
#[derive(Clone, Debug)]
pub struct OsSpace {
    /// The data directory.
    pub path: PathBuf,
    /// Whether the bytes of the data directory are counted: only a limit on them needs it.
    pub counts_used: bool,
}

impl Space for OsSpace {
    fn measure(&self) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(&self.path)?;
        let used = if self.counts_used { bytes_in(&self.path)? } else { 0 };
        Ok(DiskSpace { free: stat.f_bavail.saturating_mul(stat.f_frsize), used })
    }
}

/// Files that vanish meanwhile do not count.
fn bytes_in(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += bytes_in(&entry.path())?,
            Ok(metadata) => sum += metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

impl<S: Store, D: Directory> Keeper<S, D> {
    pub(super) fn watch_space(&mut self) {
        let space = match self.space.measure() {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(%error, "the free space cannot be measured");
                return;
            }
        };
        // The next checkpoints are written beside the two that are kept.
        let next = self.checkpoints.bytes_of_all().saturating_mul(2);
        let limits = DiskLimits { reserve_bytes: self.disk.reserve_bytes.saturating_add(next), ..self.disk };
        let shed = limits.sheds(self.shed, space);
        if shed == self.shed {
            return;
        }
        self.shed = shed;
        self.metrics.disk_shedding.set(u64::from(shed));
        if shed {
            tracing::error!(free = space.free, used = space.used, "the disk is nearly full: new orders are refused");
        } else {
            tracing::info!(free = space.free, used = space.used, "the disk has room again: new orders are taken");
        }
        self.tell_all(if shed { || FromKeeper::Shed(true) } else { || FromKeeper::Shed(false) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_refused_below_the_reserve_and_taken_again_well_above_it() {
        let limits = DiskLimits { reserve_bytes: 100, data_bytes_max: Some(1000) };
        for (shed, free, used, sheds) in [
            (false, 100, 0, false),
            (false, 99, 0, true),
            (true, 124, 0, true),
            (true, 125, 0, false),
            (false, 5000, 900, false),
            (false, 5000, 901, true),
            (true, 5000, 876, true),
            (true, 5000, 875, false),
            (false, 5000, 2000, true),
        ] {
            assert_eq!(limits.sheds(shed, DiskSpace { free, used }), sheds, "{shed} {free} {used}");
        }
    }
}
