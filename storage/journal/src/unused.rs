//! Which segments of finished runs were prepared and never used.
//!
//! A start may remove them, once recovery has found them unused too, because recovery gives the same without them:
//!
//! - Behind the header there are only zeros, and no segment of the lane and run that stays comes after it. Zeros are never a
//!   witness, and what they say of the next frame matters to later segments only.
//! - The segment before it is there and stays, under the same identity. So the first one of a lane and run, which says where its
//!   shards started and keeps the number of the run from being used again, is never removed; a missing segment is still missed;
//!   and foreign files are still refused.
//! - A header that is damaged, or a file of another length than its header's, is left to recovery to refuse.
//!
//! They go from the last one down, one a lane and run in each round. The names are made durable between rounds, so that at any
//! moment, also after a loss of power, those that are left have no gap.

use crate::directory::Directory;
use crate::files::{FilesError, SegmentFiles};
use crate::limits::{FILL_BYTES, SEGMENT_HEADER_BYTES_MAX};
use crate::segment::{SegmentHeader, SegmentName};
use crate::walk::last_written;

/// Those of `candidates` that are to be removed, in rounds.
pub(crate) fn unused_segments<D: Directory>(
    files: &SegmentFiles<D>,
    candidates: &[SegmentName],
) -> Result<Vec<Vec<SegmentName>>, FilesError> {
    let mut rounds: Vec<Vec<SegmentName>> = Vec::new();
    let mut buffer = Vec::new();
    for lane in files.names().chunk_by(|a, b| (a.run, a.lane) == (b.run, b.lane)) {
        for (round, pair) in lane.windows(2).rev().enumerate() {
            let (before, name) = (pair[0], pair[1]);
            let may_go = before.segment + 1 == name.segment && candidates.contains(&name);
            if !may_go || !is_unused(files, before, name, &mut buffer)? {
                break;
            }
            if round == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[round].push(name);
        }
    }
    Ok(rounds)
}

fn is_unused<D: Directory>(
    files: &SegmentFiles<D>,
    before: SegmentName,
    name: SegmentName,
    buffer: &mut Vec<u8>,
) -> Result<bool, FilesError> {
    let Some(header) = header_of(files, name, buffer)? else { return Ok(false) };
    if header.segment_bytes != files.length(name)?
        || !header.starts.is_empty()
        || last_written(buffer, header.frames_offset()).is_some()
    {
        return Ok(false);
    }
    let mut offset = buffer.len() as u64;
    if header_of(files, before, buffer)?.map(|header| header.identity) != Some(header.identity) {
        return Ok(false);
    }
    loop {
        buffer.clear();
        files.read_part(name, offset, FILL_BYTES, buffer)?;
        if buffer.is_empty() {
            return Ok(true);
        }
        if last_written(buffer, 0).is_some() {
            return Ok(false);
        }
        offset += buffer.len() as u64;
    }
}

/// The header of a file called `name`, if it is a good one under this name. The head of the file is in `buffer`.
fn header_of<D: Directory>(
    files: &SegmentFiles<D>,
    name: SegmentName,
    buffer: &mut Vec<u8>,
) -> Result<Option<SegmentHeader>, FilesError> {
    buffer.clear();
    files.read_part(name, 0, SEGMENT_HEADER_BYTES_MAX, buffer)?;
    Ok(SegmentHeader::parse(buffer).ok().filter(|header| header.name == name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use orderlane_core::ShardId;

    use super::*;
    use crate::directory::OsDirectory;
    use crate::limits::BLOCK_BYTES;
    use crate::segment::Identity;

    const IDENTITY: Identity = Identity { directory: 9, shards: 1 };
    const LENGTH: usize = FILL_BYTES + 4 * BLOCK_BYTES;

    fn name(run: u32, lane: u16, segment: u32) -> SegmentName {
        SegmentName { run, lane, segment }
    }

    fn put(directory: &Path, name: SegmentName, change: impl FnOnce(&mut SegmentHeader, &mut Vec<u8>)) {
        let starts = if name.segment == 0 { vec![(ShardId(0), 1)] } else { Vec::new() };
        let mut header = SegmentHeader { identity: IDENTITY, name, segment_bytes: LENGTH as u64, starts };
        let mut frames = vec![0; LENGTH - BLOCK_BYTES];
        change(&mut header, &mut frames);
        fs::write(directory.join(name.to_string()), [header.encode(), frames].concat()).expect("written");
    }

    fn rounds(directory: &Path) -> Vec<Vec<SegmentName>> {
        let files = SegmentFiles::list(OsDirectory::new(directory)).expect("listed");
        assert_eq!(
            unused_segments(&files, &[]).expect("read"),
            Vec::<Vec<SegmentName>>::new(),
            "recovery has a say, too"
        );
        unused_segments(&files, files.names()).expect("read")
    }

    #[test]
    fn the_last_ones_go_first_and_the_first_one_of_a_lane_and_run_stays() {
        let directory = tempfile::TempDir::new().expect("a directory for the test");
        for (run, lane, segments) in [(1, 0, 3), (1, 1, 1), (2, 0, 2), (2, 1, 4)] {
            (0..segments).for_each(|segment| put(directory.path(), name(run, lane, segment), |_, _| {}));
        }
        put(directory.path(), name(2, 1, 1), |_, frames| frames[0] = 1);
        put(directory.path(), name(3, 0, 7), |_, _| {});
        let expected = [vec![name(1, 0, 2), name(2, 0, 1), name(2, 1, 3)], vec![name(1, 0, 1), name(2, 1, 2)]];
        assert_eq!(rounds(directory.path()), expected);
    }

    #[test]
    fn a_segment_stays_when_anything_is_behind_its_header_or_wrong_with_it_or_before_it() {
        let directory = tempfile::TempDir::new().expect("a directory for the test");
        let last = name(1, 0, 2);
        let good = || {
            (0..3).for_each(|segment| put(directory.path(), name(1, 0, segment), |_, _| {}));
            put(directory.path(), name(1, 0, 1), |_, frames| frames[5] = 1);
        };
        let stays = |why: &str| {
            assert_eq!(rounds(directory.path()), Vec::<Vec<SegmentName>>::new(), "{why}");
            good();
            assert_eq!(rounds(directory.path()), [[last]]);
        };
        good();
        for at in [0, BLOCK_BYTES, 3 * BLOCK_BYTES - 1, FILL_BYTES, LENGTH - BLOCK_BYTES - 1] {
            put(directory.path(), last, |_, frames| frames[at] = 1);
            stays("a byte was written");
        }
        put(directory.path(), last, |header, _| header.identity.directory = 1);
        stays("another data directory's");
        put(directory.path(), last, |header, _| header.identity.shards = 2);
        stays("another count of shards");
        put(directory.path(), last, |header, _| header.name.run = 2);
        stays("it was renamed");
        put(directory.path(), last, |header, _| header.starts = vec![(ShardId(0), 5)]);
        stays("its header is a witness");
        put(directory.path(), last, |_, frames| frames.truncate(BLOCK_BYTES));
        stays("it was cut");
        let path = directory.path().join(last.to_string());
        fs::write(&path, "").expect("written");
        stays("it is empty");
        let mut bytes = fs::read(&path).expect("read");
        bytes[20] ^= 1;
        fs::write(&path, bytes).expect("written");
        stays("its header is damaged");
        fs::remove_file(directory.path().join(name(1, 0, 1).to_string())).expect("removed");
        stays("the one before it is missing");
        fs::write(directory.path().join(name(1, 0, 1).to_string()), [1; LENGTH]).expect("written");
        stays("the one before it is damaged");
    }
}
