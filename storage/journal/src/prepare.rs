//! Makes a segment: filled, synced, and only then named. A file under its final name is whole and durable.

use orderlane_lane::{CommitError, Disk};

use crate::limits::FILL_BYTES;
use crate::segment::SegmentHeader;

/// Creates the segment of `header`; its frames are all zeros.
pub(crate) async fn create_segment<D: Disk>(disk: D, header: SegmentHeader) -> Result<D::File, CommitError> {
    let failed = |action| move |source| CommitError { action, source };
    let unfinished = header.name.unfinished();
    let file = disk.create(&unfinished).await.map_err(failed("creating a journal segment"))?;
    fill(&disk, &file, &header).await.map_err(failed("filling a journal segment"))?;
    disk.sync(&file).await.map_err(failed("syncing a new journal segment"))?;
    disk.rename(&unfinished, &header.name.to_string()).await.map_err(failed("naming a journal segment"))?;
    disk.sync_directory().await.map_err(failed("syncing the journal's directory"))?;
    Ok(file)
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
