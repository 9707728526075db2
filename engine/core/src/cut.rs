//! A cut: at one sequence of a shard, what has ended goes to the archive and all the rest into a checkpoint, while the shard goes
//! on. It is made in slices; whatever changes before its slice comes is saved first, as it was (copy before write).

use alloc::vec::Vec;

use crate::record::Archived;

/// A part of a cut.
#[derive(Clone, Debug, Default)]
pub struct CutPart {
    /// Orders that have ended and wait for nothing, in no particular order.
    pub ended: Vec<EndedOrder>,
    /// Their records ([`crate::OrderRecord::from_bytes`]), one after the other.
    pub ended_bytes: Vec<u8>,
    /// The next bytes of the checkpoint: all of them in order are what [`crate::Shard::restore`] reads.
    pub live: Vec<u8>,
}

/// Where in [`CutPart::ended_bytes`] an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedOrder {
    /// Its number.
    pub number: u64,
    /// The first byte.
    pub start: u32,
    /// How many.
    pub length: u32,
}

/// What a whole cut says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutEnd {
    /// The sequence: the state is that after this event.
    pub sequence: crate::ids::Sequence,
    /// The sums over everything in the archive once this cut is there.
    pub archived: Archived,
    /// The sums of orders that were called back from the archive since the cut before.
    pub recalled: Archived,
}
