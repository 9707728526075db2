//! A checkpoint file: what one cut of a lane leaves in memory, an image for each of its shards.
//!
//! ```text
//! head   ├magic┼crc ┼version ┼identity ┼shards ┼run ┼lane ┼cut ┼count ┼ (shard, sequence)… ┤      crc over all behind it
//! chunks ├length ┼shard ┼crc ┼ bytes ┤…   a shard after the other; the checksum is chained, and starts from the shard's seed
//! index  ├ (shard, offset, bytes, image bytes, chain)… ┤
//! tail   ├index bytes ┼crc ┼magic┤                                                              crc over the index, from the seed
//! ```
//! A file is written aside, synced and renamed, so one that has its name was whole. The seeds hold the identity and the name: foreign
//! or stale bytes never pass. The index says where each image is, so that lanes read theirs at the same time.

use std::fmt;
use std::io;

use orderlane_core::{Sequence, ShardId};
use orderlane_lane::Directory;

use crate::limits::CHUNK_BYTES_MAX;

const MAGIC: [u8; 8] = *b"OLANEckp";
const MAGIC_END: [u8; 8] = *b"OLANEend";
const VERSION: u32 = 1;
const SUFFIX: &str = ".ckp";
const UNFINISHED: &str = ".new";
/// What is added to the name of a checkpoint, behind a shard, when that shard's image in it is void.
const VOID: &str = ".void";
const HEAD_FIXED_BYTES: usize = 8 + 4 + 4 + 16 + 2 + 4 + 2 + 8 + 2;
const HEAD_SHARD_BYTES: usize = 10;
const CHUNK_HEAD_BYTES: usize = 10;
const SECTION_BYTES: usize = 30;
const TAIL_BYTES: usize = 16;
/// What is read at once: the largest chunk and then some.
const WINDOW_BYTES: usize = 4 * CHUNK_BYTES_MAX;

/// What a checkpoint file is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointName {
    /// Which start of the data directory.
    pub run: u32,
    /// Which lane of that run.
    pub lane: u16,
    /// Which cut of that lane, from 1.
    pub cut: u64,
}

impl CheckpointName {
    /// Reads exactly what `Display` writes; anything else is `None`.
    #[must_use]
    pub fn parse(name: &str) -> Option<CheckpointName> {
        let mut parts = name.strip_suffix(SUFFIX)?.strip_prefix("checkpoint-")?.split('-');
        let (run, lane, cut) = (parts.next()?, parts.next()?, parts.next()?);
        let parsed = CheckpointName { run: run.parse().ok()?, lane: lane.parse().ok()?, cut: cut.parse().ok()? };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The empty file that says of a shard's image in this checkpoint that no start may use it any more.
    pub(crate) fn void(self, shard: ShardId) -> String {
        format!("{self}.{:05}{VOID}", shard.0)
    }

    /// Reads what [`CheckpointName::void`] writes.
    pub(crate) fn parse_void(name: &str) -> Option<(CheckpointName, ShardId)> {
        let (checkpoint, shard) = name.strip_suffix(VOID)?.rsplit_once('.')?;
        let parsed = (CheckpointName::parse(checkpoint)?, ShardId(shard.parse().ok()?));
        (parsed.0.void(parsed.1) == name).then_some(parsed)
    }

    /// Whether a file claims to be a checkpoint.
    pub(crate) fn is_claimed_by(name: &str) -> bool {
        name.ends_with(SUFFIX)
    }

    /// The name of the file while it is written.
    pub(crate) fn unfinished(self) -> String {
        format!("{self}{UNFINISHED}")
    }

    /// Whether `name` is a checkpoint that was never finished: nothing in it counts.
    pub(crate) fn is_unfinished(name: &str) -> bool {
        name.strip_suffix(UNFINISHED).is_some_and(|name| CheckpointName::parse(name).is_some())
    }
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint-{:08}-{:04}-{:08}{SUFFIX}", self.run, self.lane, self.cut)
    }
}

/// Whose checkpoints: what a data directory got when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Random, never changes.
    pub directory: u128,
    /// How many shards there are.
    pub shards: u16,
}

/// The head of a checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) owner: Owner,
    pub(crate) name: CheckpointName,
    /// The lane's shards, each with the sequence at which it was cut.
    pub(crate) shards: Vec<(ShardId, Sequence)>,
}

/// Why a checkpoint file is not read.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The system refused.
    Io(io::Error),
    /// It is not what was written.
    Damaged(&'static str),
    /// It is whole, and not for us: the text says why.
    Foreign(String),
}

impl From<io::Error> for HeadError {
    fn from(error: io::Error) -> HeadError {
        HeadError::Io(error)
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::Io(error) => error.fmt(f),
            HeadError::Damaged(what) => write!(f, "damaged: {what}"),
            HeadError::Foreign(text) => text.fmt(f),
        }
    }
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_FIXED_BYTES + self.shards.len() * HEAD_SHARD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.owner.directory.to_le_bytes());
        bytes.extend_from_slice(&self.owner.shards.to_le_bytes());
        bytes.extend_from_slice(&self.name.run.to_le_bytes());
        bytes.extend_from_slice(&self.name.lane.to_le_bytes());
        bytes.extend_from_slice(&self.name.cut.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.shards.len()).expect("at most SHARDS_MAX shards").to_le_bytes());
        for (shard, sequence) in &self.shards {
            bytes.extend_from_slice(&shard.0.to_le_bytes());
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head of the file called `name`, which must be `owner`'s.
    fn read<D: Directory>(directory: &D, name: CheckpointName, owner: Owner) -> Result<Head, HeadError> {
        let file = name.to_string();
        let mut bytes = Vec::new();
        directory.read(&file, 0, HEAD_FIXED_BYTES, &mut bytes)?;
        let count = bytes.last_chunk::<2>().filter(|_| bytes.len() == HEAD_FIXED_BYTES);
        let count = u16::from_le_bytes(*count.ok_or(HeadError::Damaged("it ends in its head"))?);
        if bytes[..8] != MAGIC {
            return Err(HeadError::Damaged("it does not begin like a checkpoint"));
        }
        directory.read(&file, HEAD_FIXED_BYTES as u64, usize::from(count) * HEAD_SHARD_BYTES, &mut bytes)?;
        Head::decode(&bytes, count, name, owner)
    }

    fn decode(bytes: &[u8], count: u16, name: CheckpointName, owner: Owner) -> Result<Head, HeadError> {
        let damaged = || HeadError::Damaged("its head ends too early");
        let mut rest = &bytes[8..];
        let crc = take(&mut rest).map(u32::from_le_bytes).ok_or_else(damaged)?;
        if crc32c::crc32c(rest) != crc {
            return Err(HeadError::Damaged("the checksum of its head is wrong"));
        }
        let version = take(&mut rest).map(u32::from_le_bytes).ok_or_else(damaged)?;
        if version != VERSION {
            return Err(HeadError::Foreign(format!(
                "it has version {version}, this program reads {VERSION}: use the release that wrote it"
            )));
        }
        let directory = take(&mut rest).map(u128::from_le_bytes).ok_or_else(damaged)?;
        let shards = take(&mut rest).map(u16::from_le_bytes).ok_or_else(damaged)?;
        if (Owner { directory, shards }) != owner {
            return Err(HeadError::Foreign(format!(
                "it belongs to the data directory {directory:032x} with {shards} shards, this one is {:032x} with {}; move the file away",
                owner.directory, owner.shards
            )));
        }
        let run = take(&mut rest).map(u32::from_le_bytes).ok_or_else(damaged)?;
        let lane = take(&mut rest).map(u16::from_le_bytes).ok_or_else(damaged)?;
        let cut = take(&mut rest).map(u64::from_le_bytes).ok_or_else(damaged)?;
        if (CheckpointName { run, lane, cut }) != name {
            return Err(HeadError::Damaged("its head is that of another checkpoint"));
        }
        rest = &rest[2..];
        let mut list = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let shard = take(&mut rest).map(u16::from_le_bytes).ok_or_else(damaged)?;
            let sequence = take(&mut rest).map(u64::from_le_bytes).ok_or_else(damaged)?;
            list.push((ShardId(shard), sequence));
        }
        Ok(Head { owner, name, shards: list })
    }

    /// What the checksums of the file's index start from.
    fn seed(&self) -> u32 {
        crc32c::crc32c(&self.encode())
    }

    /// What the checksums of a shard's chunks start from.
    fn seed_of(&self, shard: ShardId) -> u32 {
        crc32c::crc32c_append(self.seed(), &shard.0.to_le_bytes())
    }
}

/// Where the image of a shard is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) shard: ShardId,
    /// The first byte of the first chunk.
    offset: u64,
    /// Bytes of all chunks.
    bytes: u64,
    /// Bytes of the image itself.
    image_bytes: u64,
    /// The checksum of the last chunk.
    chain: u32,
}

impl Section {
    /// Bytes of the image.
    pub(crate) fn image_bytes(&self) -> u64 {
        self.image_bytes
    }
}

/// A checkpoint file, as far as it can be judged without its images: head and index.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointFile {
    pub(crate) head: Head,
    pub(crate) sections: Vec<Section>,
    pub(crate) bytes: u64,
}

impl CheckpointFile {
    /// Reads head and index.
    pub(crate) fn open<D: Directory>(
        directory: &D,
        name: CheckpointName,
        owner: Owner,
    ) -> Result<CheckpointFile, HeadError> {
        let head = Head::read(directory, name, owner)?;
        let file = name.to_string();
        let bytes = directory.length(&file)?;
        let index_bytes = head.shards.len() * SECTION_BYTES;
        let index_at = bytes.checked_sub((index_bytes + TAIL_BYTES) as u64);
        let index_at = index_at.ok_or(HeadError::Damaged("it is too short"))?;
        let mut index = Vec::new();
        directory.read(&file, index_at, index_bytes + TAIL_BYTES, &mut index)?;
        let sections =
            decode_index(&head, &index, index_at).ok_or(HeadError::Damaged("its end is missing or wrong"))?;
        Ok(CheckpointFile { head, sections, bytes })
    }

    /// Reads and checks the image of a shard that is in [`CheckpointFile::sections`].
    pub(crate) fn image<D: Directory>(&self, directory: &D, section: &Section) -> Result<Vec<u8>, HeadError> {
        let file = self.head.name.to_string();
        let capacity = usize::try_from(section.image_bytes).map_err(|_| HeadError::Damaged("an image is too long"))?;
        let mut image = Vec::with_capacity(capacity);
        let (mut at, end) = (section.offset, section.offset + section.bytes);
        let mut chain = self.head.seed_of(section.shard);
        let mut window = Vec::new();
        while at < end {
            window.clear();
            let bytes_max = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            directory.read(&file, at, bytes_max, &mut window)?;
            let mut rest = &window[..];
            while !rest.is_empty() && (rest.len() == window.len() || is_whole(rest)) {
                let bytes =
                    check_chunk(rest, section.shard, &mut chain).ok_or(HeadError::Damaged("a chunk is wrong"))?;
                image.extend_from_slice(bytes);
                at += (CHUNK_HEAD_BYTES + bytes.len()) as u64;
                rest = &rest[CHUNK_HEAD_BYTES + bytes.len()..];
            }
            if window.is_empty() {
                return Err(HeadError::Damaged("it ends in an image"));
            }
        }
        if at != end || image.len() as u64 != section.image_bytes || chain != section.chain {
            return Err(HeadError::Damaged("an image is not as long as the index says"));
        }
        Ok(image)
    }

    /// The sequence at which a shard was cut.
    pub(crate) fn sequence(&self, shard: ShardId) -> Option<Sequence> {
        self.head.shards.iter().find(|(own, _)| *own == shard).map(|(_, sequence)| *sequence)
    }
}

fn decode_index(head: &Head, bytes: &[u8], index_at: u64) -> Option<Vec<Section>> {
    let (index, mut tail) = bytes.split_at_checked(bytes.len().checked_sub(TAIL_BYTES)?)?;
    let index_bytes = take(&mut tail).map(u32::from_le_bytes)?;
    let crc = take(&mut tail).map(u32::from_le_bytes)?;
    let whole = index_bytes as usize == index.len()
        && crc32c::crc32c_append(head.seed(), index) == crc
        && tail == MAGIC_END
        && index.len() == head.shards.len() * SECTION_BYTES;
    if !whole {
        return None;
    }
    let mut rest = index;
    let mut at = head.encode().len() as u64;
    let mut sections = Vec::with_capacity(head.shards.len());
    for (shard, _) in &head.shards {
        let section = Section {
            shard: ShardId(take(&mut rest).map(u16::from_le_bytes)?),
            offset: take(&mut rest).map(u64::from_le_bytes)?,
            bytes: take(&mut rest).map(u64::from_le_bytes)?,
            image_bytes: take(&mut rest).map(u64::from_le_bytes)?,
            chain: take(&mut rest).map(u32::from_le_bytes)?,
        };
        if section.shard != *shard || section.offset != at {
            return None;
        }
        at = at.checked_add(section.bytes)?;
        sections.push(section);
    }
    (at == index_at).then_some(sections)
}

/// Whether what was read reaches to the end of the chunk that it begins with.
fn is_whole(read: &[u8]) -> bool {
    let length = read.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    length.is_some_and(|length| read.len() - CHUNK_HEAD_BYTES.min(read.len()) >= length)
}

/// The bytes of the chunk that `read` begins with, when it continues the chain.
fn check_chunk<'a>(read: &'a [u8], shard: ShardId, chain: &mut u32) -> Option<&'a [u8]> {
    let (head, rest) = read.split_at_checked(CHUNK_HEAD_BYTES)?;
    let mut fields = head;
    let length = take(&mut fields).map(u32::from_le_bytes)? as usize;
    let found = take(&mut fields).map(u16::from_le_bytes)?;
    let crc = take(&mut fields).map(u32::from_le_bytes)?;
    let bytes = rest.get(..length).filter(|_| length <= CHUNK_BYTES_MAX)?;
    *chain = chain_of(*chain, shard, bytes);
    (found == shard.0 && crc == *chain).then_some(bytes)
}

fn chain_of(chain: u32, shard: ShardId, bytes: &[u8]) -> u32 {
    let length = u32::try_from(bytes.len()).expect("a chunk has at most CHUNK_BYTES_MAX bytes");
    let chain = crc32c::crc32c_append(chain, &length.to_le_bytes());
    let chain = crc32c::crc32c_append(chain, &shard.0.to_le_bytes());
    crc32c::crc32c_append(chain, bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*bytes)
}

/// A checkpoint file that is being written, aside. Bytes go to the file as they come.
#[derive(Debug)]
pub(crate) struct CheckpointWriter {
    head: Head,
    sections: Vec<Section>,
    at: u64,
}

impl CheckpointWriter {
    /// Makes the file and writes its head.
    pub(crate) fn create<D: Directory>(directory: &D, head: Head) -> io::Result<CheckpointWriter> {
        let file = head.name.unfinished();
        let bytes = head.encode();
        directory.create(&file)?;
        directory.append(&file, &bytes)?;
        Ok(CheckpointWriter { head, sections: Vec::new(), at: bytes.len() as u64 })
    }

    /// The sequence at which a shard was cut.
    pub(crate) fn sequence(&self, shard: ShardId) -> Option<Sequence> {
        self.head.shards.iter().find(|(own, _)| *own == shard).map(|(_, sequence)| *sequence)
    }

    /// Appends the next bytes of a shard's image. Shards come in the order of the head, each at once.
    ///
    /// # Panics
    /// When a shard comes out of turn: its lane is broken, and no checkpoint of it may be used.
    pub(crate) fn append<D: Directory>(&mut self, directory: &D, shard: ShardId, bytes: &[u8]) -> io::Result<()> {
        self.turn_to(shard);
        let mut chunk = Vec::new();
        for bytes in bytes.chunks(CHUNK_BYTES_MAX) {
            let section = self.sections.last_mut().expect("turned to");
            section.chain = chain_of(section.chain, shard, bytes);
            chunk.clear();
            chunk.extend_from_slice(&u32::try_from(bytes.len()).expect("bounded").to_le_bytes());
            chunk.extend_from_slice(&shard.0.to_le_bytes());
            chunk.extend_from_slice(&section.chain.to_le_bytes());
            chunk.extend_from_slice(bytes);
            section.bytes += chunk.len() as u64;
            section.image_bytes += bytes.len() as u64;
            self.at += chunk.len() as u64;
            directory.append(&self.head.name.unfinished(), &chunk)?;
        }
        Ok(())
    }

    fn turn_to(&mut self, shard: ShardId) {
        if self.sections.last().is_some_and(|section| section.shard == shard) {
            return;
        }
        let expected = self.head.shards.get(self.sections.len()).map(|(shard, _)| *shard);
        assert_eq!(expected, Some(shard), "the shards of a cut come in their order");
        let chain = self.head.seed_of(shard);
        self.sections.push(Section { shard, offset: self.at, bytes: 0, image_bytes: 0, chain });
    }

    /// Writes the index. What follows: [`CheckpointWriter::sync`], [`CheckpointWriter::publish`], `sync_names`.
    pub(crate) fn finish<D: Directory>(&mut self, directory: &D) -> io::Result<()> {
        for (shard, _) in self.head.shards.clone().iter().skip(self.sections.len()) {
            self.turn_to(*shard);
        }
        let mut bytes = Vec::with_capacity(self.sections.len() * SECTION_BYTES + TAIL_BYTES);
        for section in &self.sections {
            bytes.extend_from_slice(&section.shard.0.to_le_bytes());
            bytes.extend_from_slice(&section.offset.to_le_bytes());
            bytes.extend_from_slice(&section.bytes.to_le_bytes());
            bytes.extend_from_slice(&section.image_bytes.to_le_bytes());
            bytes.extend_from_slice(&section.chain.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(self.head.seed(), &bytes);
        let index_bytes = u32::try_from(bytes.len()).expect("at most SHARDS_MAX sections");
        bytes.extend_from_slice(&index_bytes.to_le_bytes());
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&MAGIC_END);
        self.at += bytes.len() as u64;
        directory.append(&self.head.name.unfinished(), &bytes)
    }

    /// Its name until it is published.
    pub(crate) fn unfinished(&self) -> String {
        self.head.name.unfinished()
    }

    /// Makes the content durable, still under the unfinished name.
    pub(crate) fn sync<D: Directory>(&self, directory: &D) -> io::Result<()> {
        directory.sync(&self.head.name.unfinished())
    }

    /// Gives the file its name: durable after `sync_names`.
    pub(crate) fn publish<D: Directory>(&self, directory: &D) -> io::Result<()> {
        directory.rename(&self.head.name.unfinished(), &self.head.name.to_string())
    }

    /// What was written.
    pub(crate) fn into_file(self) -> CheckpointFile {
        CheckpointFile { head: self.head, sections: self.sections, bytes: self.at }
    }
}
