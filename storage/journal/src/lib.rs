//! The per-lane append-only journal: codec, segments, recovery, commit.
