//! A copy of a running data directory, made by the keeper between two cuts, a piece a step.
//!
//! ```text
//! Hold ─> all Held ─> note the written length of each segment ─> Release ─> link and copy ─> sync ─> rename
//! ```
//! Nothing is removed or recycled for good meanwhile: lanes hear of covered events from the keeper, which has other things to do. A
//! segment that a lane frees all the same (for what it was told before) loses its name first, and is left out of the copy: no
//! start needs it.

mod copy;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use orderlane_lane::Directory;

use crate::keeper::Keeper;
use crate::message::FromKeeper;
use crate::store::Store;

use copy::Copying;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Files, all of them.
    pub files: u64,
    /// Files that are linked, not copied.
    pub linked: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

/// A backup under way.
pub(crate) struct Backup {
    target: PathBuf,
    done: Sender<Result<BackupReport, String>>,
    lanes: usize,
    stage: Stage,
}

enum Stage {
    Ask,
    Wait(BTreeSet<u16>),
    Copy(Box<Copying>),
}

impl Backup {
    pub(crate) fn new(target: PathBuf, done: Sender<Result<BackupReport, String>>, lanes: usize) -> Backup {
        Backup { target, done, lanes, stage: Stage::Ask }
    }

    pub(crate) fn held(&mut self, lane: u16) {
        if let Stage::Wait(held) = &mut self.stage {
            held.insert(lane);
        }
    }

    fn step(
        &mut self,
        source: &Path,
        mut tell: impl FnMut(fn() -> FromKeeper) -> BTreeSet<u16>,
    ) -> Result<Step, String> {
        match &mut self.stage {
            Stage::Ask => {
                if fs::symlink_metadata(&self.target).is_ok() {
                    return Err(format!("{} exists; name a new directory", self.target.display()));
                }
                self.stage = Stage::Wait(tell(|| FromKeeper::Hold));
            }
            Stage::Wait(held) if held.len() < self.lanes => {
                // A lane that has ended commits no more, and answers no more.
                held.extend(tell(|| FromKeeper::Hold));
                return Ok(Step::Waits);
            }
            Stage::Wait(_) => {
                let copying = Copying::begin(source, &self.target);
                tell(|| FromKeeper::Release);
                self.stage = Stage::Copy(Box::new(copying?));
            }
            Stage::Copy(copying) => {
                if let Some(report) = copying.step()? {
                    return Ok(Step::Whole(report));
                }
            }
        }
        Ok(Step::Goes)
    }
}

enum Step {
    /// Lanes have to answer first.
    Waits,
    Goes,
    Whole(BackupReport),
}

impl<S: Store, D: Directory> Keeper<S, D> {
    /// One thing of the backup under way. False: it waits for a lane.
    pub(crate) fn backup_step(&mut self) -> bool {
        let Some(mut backup) = self.take_backup() else { return false };
        let source = self.path().to_owned();
        let result = match backup.step(&source, |message| self.tell_all(message)) {
            Ok(step @ (Step::Waits | Step::Goes)) => {
                self.put_backup(backup);
                return matches!(step, Step::Goes);
            }
            Ok(Step::Whole(report)) => Ok(report),
            Err(error) => Err(error),
        };
        // Whoever asked may be gone.
        let _ = backup.done.send(result);
        true
    }
}
