//! How a process starts: from what is there exactly, or not at all.

use std::collections::BTreeSet;

use orderlane_archive::{ArchiveError, CheckpointName};
use orderlane_journal::SegmentName;
use orderlane_lane::Directory;

use super::{Broken, Go, Life, World};
use crate::disk::{FilesCopy, SimDirectory, SimStore};
use crate::faults::Fault;
use crate::invariants::{self, recovery_is_fold};
use crate::model::Model;
use crate::process::Process;
use crate::recovery::{Recovery, Source, StartError, Tail, config, recover};

impl World {
    /// A start: it reads what is there, refuses it by name, or goes on exactly from it.
    pub(super) fn start(&mut self) -> Go {
        let sim = self.around.sim.clone();
        self.starts += 1;
        let lanes_before = self.lanes;
        if self.starts > 1 && sim.faults().draw(Fault::OtherLaneCount, &mut self.random) {
            self.lanes = self.random.between(1, u64::from(sim.options().shards)) as u16;
        }
        if self.starts > 1 && self.crashes_left > 0 && sim.faults().draw(Fault::CrashInRecovery, &mut self.random) {
            self.crashes_left -= 1;
            self.around.disk.crash_at_start(self.random.below(40));
        }
        let rot = if self.starts > 1 { self.around.disk.rot(&mut self.random) } else { None };
        let checkpoint_rot = if self.starts > 1 { self.around.disk.rot_checkpoint(&mut self.random) } else { None };
        sim.note("start", &[u64::from(self.starts), u64::from(self.lanes), u64::from(rot.is_some())]);
        let (journal, files) = (self.around.disk.directory(), self.around.disk.directory());
        let store = self.around.disk.store(files.clone());
        let source = Source { journal: journal.clone(), checkpoints: files.clone(), store };
        let recovered = recover(&sim, source, self.lanes);
        let rotten = rot.into_iter().chain(checkpoint_rot).map(|rot| rot.name);
        let met = journal.faults_met().into_iter().chain(files.faults_met()).map(|met| met.name);
        let damaged: Vec<String> = rotten.chain(met).collect();
        self.look_for_two_checkpoints();
        // What was passed over is void from then on, also when the start fails in the end.
        let voids = match &recovered {
            Ok(recovery) => !recovery.warnings.is_empty(),
            Err(StartError::Files(_)) if !self.around.disk.crashed() => false,
            Err(_) => damaged.iter().any(|name| CheckpointName::parse(name).is_some()),
        };
        if self.around.disk.crashed() {
            sim.faults().observed(Fault::CrashInRecovery);
            if voids {
                self.fall_back();
            }
            self.around.disk.unrot();
            self.crash_drawn();
            return Ok(());
        }
        match recovered {
            Err(error) => self.refused(&error, &damaged)?,
            Ok(recovery) => {
                self.judge(&recovery, &damaged)?;
                self.go_on(recovery, lanes_before);
            }
        }
        if voids {
            self.fall_back();
        }
        self.around.disk.unrot();
        Ok(())
    }

    /// The start refused the files: there must have been something wrong with them that it may not pass over, and it must name
    /// where.
    fn refused(&mut self, error: &StartError, damaged: &[String]) -> Go {
        let text = error.to_string();
        self.sim().note("refused", &[damaged.len() as u64]);
        if damaged.is_empty() {
            self.sim().violate("recovery-refuses", None, format!("nothing was wrong with the files, but: {text}"));
            return Err(Broken);
        }
        if !fits(error, &text, damaged, self.has_fallen_back) {
            self.sim().violate("damage-is-named", None, format!("{damaged:?} were damaged, the refusal says: {text}"));
            return Err(Broken);
        }
        let until = self.elapsed() + 10_u64.pow(self.random.between(3, 7) as u32);
        self.life = Life::Down { until };
        Ok(())
    }

    /// Holds what was recovered against what was promised.
    fn judge<D: Directory, S>(&self, recovery: &Recovery<D, S>, damaged: &[String]) -> Go {
        let sim = self.around.sim.clone();
        let is_checkpoint = |name: &String| CheckpointName::parse(name).is_some();
        if !recovery.warnings.is_empty() && !damaged.iter().any(is_checkpoint) {
            let text = format!("{:?}, though only these were damaged: {damaged:?}", recovery.warnings);
            sim.violate("fall-back", None, text);
            return Err(Broken);
        }
        if !recovery.warnings.is_empty() {
            sim.note("fall-back", &[recovery.warnings.len() as u64]);
        }
        let mut seen = self.around.watch.seen_mut();
        seen.archive.fall_backs += u64::from(!recovery.warnings.is_empty());
        let mut lengths = Vec::new();
        for shard in recovery.shards() {
            let Tail { first, events } = &recovery.events[shard.id().index()];
            match invariants::after_recovery(shard.id(), *first, events, &seen.logs) {
                Ok(length) => lengths.push((shard.id(), length)),
                Err(violation) => return Err(self.broken(violation)),
            }
        }
        let moment = sim.executor().tick();
        for (shard, length) in lengths {
            seen.logs.truncate(shard, length, moment);
        }
        let seen = &mut *seen;
        seen.covered.fill(0);
        seen.model = Model::rebuild(&seen.logs, sim.options().key_retention_micros)
            .map_err(|violation| self.broken(violation))?;
        for shard in recovery.shards() {
            let log = seen.logs.of(shard.id()).iter().map(|entry| (entry.time, &entry.event));
            recovery_is_fold::check(config(&sim, shard.id()), log, shard.digest())
                .map_err(|violation| self.broken(violation))?;
        }
        Ok(())
    }

    fn go_on(&mut self, recovery: Recovery<SimDirectory, SimStore>, lanes_before: u16) {
        let sim = self.around.sim.clone();
        if lanes_before != self.lanes {
            sim.faults().observed(Fault::OtherLaneCount);
        }
        if let Some(fault) = self.crash_pending.take() {
            sim.faults().observed(fault);
        }
        if self.lanes > 1 && sim.faults().is_on(Fault::ClockSkew) {
            sim.faults().observed(Fault::ClockSkew);
        }
        self.holds_over.clear();
        self.disk_errors_before = self.disk_errors();
        self.life = Life::Up(Process::start(&self.around, self.starts, recovery));
        self.fuse = None;
        if self.crashes_left > 0 {
            self.crashes_left -= 1;
            let steps_max = 3 * 10_u64.pow(self.random.between(1, 4) as u32);
            self.fuse = Some(self.random.between(1, steps_max));
        }
    }

    fn fall_back(&mut self) {
        self.has_fallen_back = true;
        self.around.watch.seen_mut().covered.fill(0);
    }

    /// What the journal was told to let go tells that every shard has two checkpoints.
    fn look_for_two_checkpoints(&mut self) {
        let has_two = self.around.watch.seen().covered.iter().all(|upto| *upto > 0);
        self.has_fallen_back &= !has_two;
    }

    /// A start on a copy of what no loss of power takes away now, one of the checkpoints damaged: what is left must do.
    pub(super) fn try_start(&mut self) -> Go {
        let sim = self.around.sim.clone();
        let files = self.around.disk.durable_image();
        let mut names: Vec<(CheckpointName, String)> =
            files.keys().filter_map(|name| Some((CheckpointName::parse(name)?, name.clone()))).collect();
        if names.is_empty() || sim.options().archive.is_none() {
            return Ok(());
        }
        names.sort_by_key(|(name, _)| (name.run, name.cut, name.lane));
        let copy = FilesCopy::new(files);
        self.look_for_two_checkpoints();
        let damaged = match self.random.below(4) {
            0 => None,
            _ if self.has_fallen_back => None,
            1 => Some(self.random.pick(&names).1.clone()),
            _ => names.pop().map(|(_, newest)| newest),
        };
        damaged.iter().for_each(|name| copy.damage(name));
        let lanes = self.random.between(1, u64::from(sim.options().shards)) as u16;
        let source = Source { journal: copy.clone(), checkpoints: copy, store: self.around.disk.store_copy() };
        sim.note("try-start", &[u64::from(damaged.is_some())]);
        let recovery = recover(&sim, source, lanes).map_err(|error| {
            sim.violate("fall-back", None, format!("with {damaged:?} damaged a start says: {error}"));
            Broken
        })?;
        let mut seen = self.around.watch.seen_mut();
        seen.archive.tries += 1;
        seen.archive.fall_backs += u64::from(!recovery.warnings.is_empty());
        for shard in recovery.shards() {
            let Tail { first, events } = &recovery.events[shard.id().index()];
            let length = invariants::after_recovery(shard.id(), *first, events, &seen.logs)
                .map_err(|violation| self.broken(violation))?;
            let log = seen.logs.of(shard.id()).iter().take(length as usize).map(|entry| (entry.time, &entry.event));
            recovery_is_fold::check(config(&sim, shard.id()), log, shard.digest())
                .map_err(|violation| self.broken(violation))?;
        }
        Ok(())
    }
}

/// Whether a refusal is one that this damage allows. One checkpoint alone is passed over, unless it is the last; of the journal a segment of the same or,
/// for events that are missing, of a later run is named.
fn fits(error: &StartError, text: &str, damaged: &[String], has_fallen_back: bool) -> bool {
    let checkpoints: BTreeSet<&String> = damaged.iter().filter(|name| CheckpointName::parse(name).is_some()).collect();
    let names = |name: &String| text.contains(name.as_str());
    let is_enough = checkpoints.len() > usize::from(!has_fallen_back);
    match error {
        StartError::Files(_) => {
            let run = |name: &str| SegmentName::parse(name).map(|name| name.run);
            let named: Vec<u32> =
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.').filter_map(run).collect();
            let segment =
                damaged.iter().filter_map(|name| run(name)).any(|wrong| named.iter().any(|run| *run >= wrong));
            segment || is_enough
        }
        StartError::Checkpoints(_) => damaged.iter().any(names),
        StartError::Archive(ArchiveError::Io(_)) => damaged.iter().any(|name| name.starts_with("store-")),
        StartError::Archive(_) => is_enough,
        StartError::Image(_) => false,
    }
}
