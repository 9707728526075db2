//! Micro-benchmarks of the hot paths: no sockets, no files.
