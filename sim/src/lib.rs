//! The simulator: the whole engine on a seed. The production code of the core, the lane, the journal and the gateway runs
//! unchanged on a driver whose clock, disk, mesh, sockets and provider come from one 64-bit number.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod clients;
pub mod coverage;
pub mod determinism;
pub mod disk;
pub mod driver;
pub mod executor;
pub mod faults;
pub mod history;
pub mod invariants;
pub mod keeper;
pub mod log;
pub mod matrix;
pub mod model;
pub mod net;
pub mod options;
pub mod outcome;
pub mod planted;
pub mod process;
pub mod provider;
pub mod random;
pub mod recovery;
pub mod seeds;
pub mod shrink;
pub mod sim;
pub mod trace;
pub mod watch;
pub mod world;
