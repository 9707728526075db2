//! Makes a segment: filled, synced, and only then named. A file under its final name is whole and durable.

use orderlane_lane::{CommitError, Disk};

use crate::limits::FILL_BYTES;
use crate::segment::{SegmentHeader, SegmentName};

/// A new file for the segment `name`.
pub(crate) async fn create<D: Disk>(disk: D, name: SegmentName) -> Result<D::File, CommitError> {
    disk.create(&name.unfinished()).await.map_err(failed("creating a journal segment"))
}

/// The file of a spent segment for the segment `new`. Before anything is written over it, its old name is gone for good.
pub(crate) async fn take_over<D: Disk>(disk: D, old: SegmentName, new: SegmentName) -> Result<D::File, CommitError> {
    let unfinished = new.unfinished();
    disk.rename(&old.to_string(), &unfinished).await.map_err(failed("recycling a journal segment"))?;
    disk.sync_directory().await.map_err(failed("syncing the journal's directory"))?;
    disk.open(&unfinished).await.map_err(failed("recycling a journal segment"))
}

/// Makes an unfinished file the segment of `header`; its frames are all zeros, whatever the file held.
pub(crate) async fn finish<D: Disk>(disk: D, file: D::File, header: SegmentHeader) -> Result<D::File, CommitError> {
    fill(&disk, &file, &header).await.map_err(failed("filling a journal segment"))?;
    disk.sync(&file).await.map_err(failed("syncing a new journal segment"))?;
    let named = disk.rename(&header.name.unfinished(), &header.name.to_string()).await;
    named.map_err(failed("naming a journal segment"))?;
    disk.sync_directory().await.map_err(failed("syncing the journal's directory"))?;
    Ok(file)
}

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> CommitError {
    move |source| CommitError { action, source }
}

async fn fill<D: Disk>(disk: &D, file: &D::File, header: &SegmentHeader) -> std::io::Result<()> {
    let head = header.encode();
    let mut offset = head.len() as u64;
    disk.write_at(file, 0, head).await.0?;
    let mut zeros = vec![0; FILL_BYTES];
    while offset < header.segment_bytes {
        let left = header.segment_bytes - offset;
        zeros.truncate(left.min(FILL_BYTES as u64) as usize);
        let count = zeros.len() as u64;
        let (result, buffer) = disk.write_at(file, offset, zeros).await;
        result?;
        zeros = buffer;
        offset += count;
    }
    Ok(())
}
