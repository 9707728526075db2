//! The checkpoints of a data directory: the newest whole image of each shard, and which files are needed no longer.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use orderlane_core::{Sequence, ShardId};
use orderlane_lane::Directory;

use crate::checkpoint::{CheckpointFile, CheckpointName, HeadError, Owner};

/// Why the checkpoints of a data directory were not read.
#[derive(Debug)]
pub enum CheckpointError {
    /// The system refused.
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is whole and not for us, or has no name of ours.
    Refused {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Io { action, path, source } => write!(f, "{action} {}: {source}", path.display()),
            CheckpointError::Refused { path, reason } => write!(f, "{} is refused: {reason}", path.display()),
        }
    }
}

impl std::error::Error for CheckpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CheckpointError::Io { source, .. } => Some(source),
            CheckpointError::Refused { .. } => None,
        }
    }
}

/// A whole image of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What [`orderlane_core::Shard::restore`] reads.
    pub image: Vec<u8>,
    /// The state is that after this event.
    pub sequence: Sequence,
    /// Which run wrote it.
    pub run: u32,
    /// Which lane of that run.
    pub lane: u16,
    /// Which cut of that lane.
    pub cut: u64,
}

/// The checkpoint files of a data directory. At a start several lanes may read their images at the same time.
#[derive(Debug)]
pub struct Checkpoints<D> {
    directory: D,
    owner: Owner,
    files: Vec<CheckpointFile>,
    /// Files that cannot be used at all: they go with the next ones that go.
    useless: Vec<String>,
    /// Images that an earlier start has passed over.
    void: Vec<(CheckpointName, ShardId)>,
    found: Mutex<Found>,
}

/// What reading has shown.
#[derive(Debug, Default)]
struct Found {
    /// Images that are damaged.
    damaged: Vec<(CheckpointName, ShardId)>,
    warnings: Vec<String>,
}

impl<D: Directory> Checkpoints<D> {
    /// Lists the checkpoints of `directory` and reads their heads. Removes those that were never finished.
    ///
    /// # Errors
    /// When the directory cannot be read, a `.ckp` file has an unknown name, another version, or belongs to another data directory.
    pub fn load(directory: D, owner: Owner) -> Result<Checkpoints<D>, CheckpointError> {
        let names = directory.names().map_err(io_error("listing", directory.path().to_owned()))?;
        let mut files = Vec::new();
        let (mut useless, mut void) = (Vec::new(), Vec::new());
        let mut found = Found::default();
        let there: Vec<CheckpointName> = names.iter().filter_map(|name| CheckpointName::parse(name)).collect();
        for name in names {
            if CheckpointName::is_unfinished(&name) {
                let failed = io_error("removing the unfinished checkpoint", directory.path().join(&name));
                directory.remove(&name).map_err(failed)?;
            } else if let Some(named) = CheckpointName::parse_void(&name) {
                void.push(named);
            } else if let Some(parsed) = CheckpointName::parse(&name) {
                match CheckpointFile::open(&directory, parsed, owner) {
                    Ok(file) => files.push(file),
                    Err(HeadError::Foreign(reason)) => {
                        return Err(CheckpointError::Refused { path: directory.path().join(name), reason });
                    }
                    Err(error) => {
                        found.warnings.push(passed_over(&directory, parsed, &error));
                        useless.push(name);
                    }
                }
            } else if CheckpointName::is_claimed_by(&name) {
                let reason = "it is not the name of a checkpoint; move the file away".to_owned();
                return Err(CheckpointError::Refused { path: directory.path().join(name), reason });
            }
        }
        // A name that only the cache holds would otherwise be built upon, and lost.
        directory.sync_names().map_err(io_error("syncing", directory.path().to_owned()))?;
        // Only now are their checkpoints gone for good.
        for (name, shard) in void.extract_if(.., |(name, _)| !there.contains(name)) {
            let name = name.void(shard);
            directory.remove(&name).map_err(io_error("removing", directory.path().join(&name)))?;
        }
        found.damaged.clone_from(&void);
        files.sort_unstable_by_key(|file| (file.head.name.run, file.head.name.cut, file.head.name.lane));
        useless.sort_unstable();
        Ok(Checkpoints { directory, owner, files, useless, void, found: Mutex::new(found) })
    }

    /// The newest image of a shard that is whole; damaged ones are passed over with a warning. `None`: the shard begins empty. Call it
    /// for every shard before the files go to a [`crate::Keeper`]: what is damaged does not count as kept.
    #[must_use]
    pub fn newest(&self, shard: ShardId) -> Option<Stored> {
        loop {
            let file = *self.kept(shard).first()?;
            let name = file.head.name;
            let section = file.sections.iter().find(|section| section.shard == shard).expect("a kept file has it");
            match file.image(&self.directory, section) {
                Ok(image) => {
                    let sequence = file.sequence(shard).expect("a section is in the head, too");
                    return Some(Stored { image, sequence, run: name.run, lane: name.lane, cut: name.cut });
                }
                Err(error) => {
                    let mut found = self.found.lock().expect("nobody panics with it");
                    found.damaged.push((name, shard));
                    found.warnings.push(format!("shard {shard}: {}", passed_over(&self.directory, name, &error)));
                }
            }
        }
    }

    /// Makes void, for good, what was passed over. From here on the archive forgets what only that leaves out, and a later start that
    /// could read it again (an error of the disk may pass) would find the archive wanting. To be called when every shard is recovered,
    /// before [`crate::Archive::check`]; `reached` is each shard's last event.
    ///
    /// # Errors
    /// When the journal does not reach what was passed over: then it is needed, and stays as it is. What the system said.
    pub fn void_passed_over(&mut self, reached: &[(ShardId, Sequence)]) -> Result<(), CheckpointError> {
        let found = self.found.get_mut().expect("nobody panics with it");
        for file in &self.files {
            let short =
                |(shard, reached): &&(ShardId, Sequence)| file.sequence(*shard).is_some_and(|own| own > *reached);
            if let Some((shard, reached)) = reached.iter().find(short) {
                let path = self.directory.path().join(file.head.name.to_string());
                let reason = format!(
                    "it holds shard {shard} up to an event behind {reached}, where the journal and the other checkpoints end, and \
                     it is damaged; restore it from a backup"
                );
                return Err(CheckpointError::Refused { path, reason });
            }
        }
        let new = found.damaged.iter().filter(|damaged| !self.void.contains(damaged));
        let new: Vec<(CheckpointName, ShardId)> = new.copied().collect();
        if new.is_empty() && self.useless.is_empty() {
            return Ok(());
        }
        let directory = &self.directory;
        for (name, shard) in &new {
            let name = name.void(*shard);
            directory.create(&name).map_err(io_error("creating", directory.path().join(&name)))?;
        }
        // Nobody has chosen these.
        for name in std::mem::take(&mut self.useless) {
            let failed = io_error("removing the damaged checkpoint", directory.path().join(&name));
            directory.remove(&name).map_err(failed)?;
        }
        directory.sync_names().map_err(io_error("syncing", directory.path().to_owned()))?;
        self.void.extend(new);
        Ok(())
    }

    /// What was passed over so far, a line each: to be shown loudly.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.found.lock().expect("nobody panics with it").warnings.clone()
    }

    /// Events of the shard up to this one are needed by no start, not even by one that falls back to the older of the two kept images;
    /// 0 while there are fewer than two.
    #[must_use]
    pub fn covered(&self, shard: ShardId) -> Sequence {
        self.kept(shard).get(1).map_or(0, |file| file.sequence(shard).expect("a kept file has it"))
    }

    /// Bytes of the newest images of these shards, together.
    #[must_use]
    pub fn bytes(&self, shards: &[ShardId]) -> u64 {
        let newest = shards.iter().filter_map(|shard| Some((*self.kept(*shard).first()?, *shard)));
        newest.map(|(file, shard)| file.bytes_of(shard)).sum()
    }

    /// Bytes of the newest images of all shards, together.
    pub(crate) fn bytes_of_all(&self) -> u64 {
        self.bytes(&(0..self.owner.shards).map(ShardId).collect::<Vec<_>>())
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &D {
        &self.directory
    }

    /// Whose they are.
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Counts a file that was just named, durably.
    pub(crate) fn add(&mut self, file: CheckpointFile) {
        self.files.push(file);
    }

    /// Names of the files that no shard needs any more; they do not count from now on.
    pub(crate) fn take_superseded(&mut self) -> Vec<String> {
        let shards: Vec<ShardId> = (0..self.owner.shards).map(ShardId).collect();
        let kept: Vec<CheckpointName> =
            shards.iter().flat_map(|shard| self.kept(*shard)).map(|file| file.head.name).collect();
        let mut superseded = std::mem::take(&mut self.useless);
        self.files.retain(|file| {
            let keep = kept.contains(&file.head.name);
            if !keep {
                superseded.push(file.head.name.to_string());
            }
            keep
        });
        superseded
    }

    /// The files with the two newest images of a shard, newest first.
    fn kept(&self, shard: ShardId) -> Vec<&CheckpointFile> {
        let found = self.found.lock().expect("nobody panics with it");
        let whole = |file: &&CheckpointFile| !found.damaged.contains(&(file.head.name, shard));
        let mut files: Vec<&CheckpointFile> =
            self.files.iter().filter(|file| file.sequence(shard).is_some()).filter(whole).collect();
        files.sort_by_key(|file| std::cmp::Reverse((file.sequence(shard), file.head.name.run, file.head.name.cut)));
        files.truncate(2);
        files
    }
}

impl CheckpointFile {
    fn bytes_of(&self, shard: ShardId) -> u64 {
        self.sections.iter().find(|section| section.shard == shard).map_or(0, |section| section.image_bytes())
    }
}

fn passed_over<D: Directory>(directory: &D, name: CheckpointName, error: &HeadError) -> String {
    format!("the checkpoint {} is passed over: {error}", directory.path().join(name.to_string()).display())
}

fn io_error(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> CheckpointError {
    move |source| CheckpointError::Io { action, path, source }
}
