//! Every bound of the journal, by name.

use orderlane_core::limits::{
    EMAIL_LEN_MAX, ID_LEN_MAX, KEY_LEN_MAX, LINES_MAX, METADATA_COUNT_MAX, METADATA_NAME_LEN_MAX,
    METADATA_VALUE_LEN_MAX, SHARDS_MAX, SUBJECT_LEN_MAX, TOKEN_LEN_MAX,
};
use orderlane_lane::limits::{BATCH_MAX, COMMIT_BYTES_MAX};

/// Frames and segment headers start and end at multiples of this.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes of one frame, at most. A batch stops growing at [`COMMIT_BYTES_MAX`], but its last turn is taken whole.
pub const FRAME_BYTES_MAX: usize = 12 * COMMIT_BYTES_MAX;
/// Bytes of a segment file unless told otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Bytes of the first segment file of a lane and run unless told otherwise. Every start writes one in full, and waits for it.
pub const SEGMENT_BYTES_FIRST: u64 = 8 * 1024 * 1024;
/// A new segment is filled with zeros in pieces of this size, so that commits get their turn on the disk between them. Old
/// segments are searched in such pieces for anything but zeros.
pub(crate) const FILL_BYTES: usize = 1024 * 1024;
/// Bytes of a segment's header, at most: fixed part and one start (shard, sequence) for each shard.
pub(crate) const SEGMENT_HEADER_BYTES_MAX: usize = 3 * BLOCK_BYTES;
/// Segments that are spent and kept to be recycled, at most.
pub(crate) const SEGMENTS_FREED_MAX: usize = 2;
/// Buffers that grew beyond this are given up after their commit.
pub(crate) const BUFFER_KEPT_BYTES_MAX: usize = 2 * COMMIT_BYTES_MAX;

/// The largest body of an order: every field at its bound, two bytes of length before each. Bounds in characters are four times as
/// many bytes.
const BODY_BYTES_MAX: usize = 64
    + SUBJECT_LEN_MAX
    + KEY_LEN_MAX
    + TOKEN_LEN_MAX
    + EMAIL_LEN_MAX
    + 4 * 4 * ID_LEN_MAX
    + METADATA_COUNT_MAX * (4 + 4 * METADATA_NAME_LEN_MAX + 4 * METADATA_VALUE_LEN_MAX)
    + LINES_MAX * (8 + ID_LEN_MAX);

const _: () = assert!(
    COMMIT_BYTES_MAX + BATCH_MAX * (BODY_BYTES_MAX + 256) <= FRAME_BYTES_MAX,
    "a full batch and one more turn of the largest orders fit in a frame"
);
const _: () = assert!(
    (FRAME_BYTES_MAX + SEGMENT_HEADER_BYTES_MAX) as u64 <= SEGMENT_BYTES_DEFAULT,
    "the largest frame fits in a segment that is not the first"
);
const _: () = assert!(
    SEGMENT_BYTES_FIRST > SEGMENT_HEADER_BYTES_MAX as u64 && SEGMENT_BYTES_FIRST.is_multiple_of(BLOCK_BYTES as u64),
    "the header and a small frame fit in the first segment; a larger frame goes to the second"
);
const _: () = assert!(
    crate::segment::HEADER_FIXED_BYTES + SHARDS_MAX as usize * crate::segment::START_BYTES <= SEGMENT_HEADER_BYTES_MAX,
    "a lane may own every shard"
);
const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(BLOCK_BYTES) && FRAME_BYTES_MAX < u32::MAX as usize);

#[cfg(test)]
mod tests {
    use orderlane_core::{DraftLine, Event, OrderBody, OrderDraft, OrderId, ShardId, Time};

    use super::*;

    /// Else one turn of such orders is a commit that no frame holds, and the lane ends.
    #[test]
    fn no_order_is_larger_than_the_largest() {
        let text = |length: usize| "x".repeat(length);
        let wide = |length: usize| "\u{1f4e6}".repeat(length);
        let names: Vec<String> =
            (0..METADATA_COUNT_MAX).map(|number| format!("{}{number:02}", wide(METADATA_NAME_LEN_MAX - 2))).collect();
        let value = wide(METADATA_VALUE_LEN_MAX);
        let metadata: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        let sku = text(ID_LEN_MAX);
        let lines = [DraftLine { sku: &sku, quantity: 1 }; LINES_MAX];
        let draft = OrderDraft {
            subject: &text(SUBJECT_LEN_MAX),
            customer: &text(ID_LEN_MAX),
            key: &text(KEY_LEN_MAX),
            currency: None,
            total_expected: Some(1),
            token: &text(TOKEN_LEN_MAX),
            email: Some(&text(EMAIL_LEN_MAX)),
            reference: Some(&text(ID_LEN_MAX)),
            metadata: &metadata,
            lines: &lines,
        };
        let body = OrderBody::encode(&draft, SHARDS_MAX);
        let event = Event::OrderCreated { order: OrderId::new(ShardId(0), 0), body, deadline: Time(u64::MAX) };
        let mut bytes = Vec::new();
        crate::encode(&event, ShardId(0), &mut bytes);
        assert!(bytes.len() > 32_000 && bytes.len() <= BODY_BYTES_MAX, "{} of {BODY_BYTES_MAX} bytes", bytes.len());
    }
}
