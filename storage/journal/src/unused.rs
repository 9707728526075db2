//! Which segments of finished runs were prepared and never used.
//!
//! A start may remove them, because recovery gives the same without them, whether it succeeds or refuses:
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

use std::fs::File;
use std::io::Read;

use crate::files::{FilesError, SegmentFiles, io_error};
use crate::limits::{FILL_BYTES, SEGMENT_HEADER_BYTES_MAX};
use crate::segment::{Identity, SegmentHeader, SegmentName};
use crate::walk::last_written;

/// The segments to remove, in rounds.
pub(crate) fn unused_segments(files: &SegmentFiles) -> Result<Vec<Vec<SegmentName>>, FilesError> {
    let mut rounds: Vec<Vec<SegmentName>> = Vec::new();
    let mut buffer = Vec::new();
    for lane in files.names().chunk_by(|a, b| (a.run, a.lane) == (b.run, b.lane)) {
        for (round, pair) in lane.windows(2).rev().enumerate() {
            let (before, name) = (pair[0], pair[1]);
            if before.segment + 1 != name.segment || !is_unused(files, before, name, &mut buffer)? {
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

fn is_unused(
    files: &SegmentFiles,
    before: SegmentName,
    name: SegmentName,
    buffer: &mut Vec<u8>,
) -> Result<bool, FilesError> {
    let path = files.path(name);
    let mut file = File::open(&path).map_err(io_error("opening", &path))?;
    let length = file.metadata().map_err(io_error("reading", &path))?.len();
    let mut read = |bytes: usize, buffer: &mut Vec<u8>| {
        buffer.clear();
        (&mut file).take(bytes as u64).read_to_end(buffer).map_err(io_error("reading", &path))
    };
    read(SEGMENT_HEADER_BYTES_MAX, buffer)?;
    let Some(header) = header_of(buffer, name) else { return Ok(false) };
    if header.segment_bytes != length
        || !header.starts.is_empty()
        || last_written(buffer, header.frames_offset()).is_some()
    {
        return Ok(false);
    }
    if identity_of(files, before)? != Some(header.identity) {
        return Ok(false);
    }
    while read(FILL_BYTES, buffer)? > 0 {
        if last_written(buffer, 0).is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn identity_of(files: &SegmentFiles, name: SegmentName) -> Result<Option<Identity>, FilesError> {
    let path = files.path(name);
    let file = File::open(&path).map_err(io_error("opening", &path))?;
    let mut head = Vec::new();
    file.take(SEGMENT_HEADER_BYTES_MAX as u64).read_to_end(&mut head).map_err(io_error("reading", &path))?;
    Ok(header_of(&head, name).map(|header| header.identity))
}

/// The header of a file called `name`, if it is a good one under this name.
fn header_of(head: &[u8], name: SegmentName) -> Option<SegmentHeader> {
    SegmentHeader::parse(head).ok().filter(|header| header.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use orderlane_core::ShardId;

    use super::*;
    use crate::limits::BLOCK_BYTES;

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
        unused_segments(&SegmentFiles::list(directory).expect("listed")).expect("read")
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
