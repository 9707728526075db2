//! HTTP/1.1 framing (RFC 9112), strict: where two readers could disagree about a message, it is refused and the connection
//! closes.

mod body;
mod date;
mod fields;
mod head;
mod response;
mod scan;
mod target;
mod values;

pub(crate) use body::{BodyReader, Step};
pub(crate) use date::DateCache;
pub(crate) use fields::Field;
pub(crate) use head::{Framing, Head};
pub(crate) use response::{ResponseHead, begin_chunk, end_chunk, end_chunks};
pub(crate) use scan::HeadScan;
pub(crate) use target::{decode, query_pairs};
pub(crate) use values::{Correlation, MediaType, TraceId, etag_matches, media_type, version_expected, wait_seconds};
