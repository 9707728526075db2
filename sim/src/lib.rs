//! The simulator: the whole engine on a seed. The production code of the core, the lane, the journal and the gateway runs
//! unchanged on a driver whose clock, disk, mesh, sockets and provider come from one 64-bit number.
#![forbid(unsafe_code)]

pub mod executor;
pub mod faults;
pub mod history;
pub mod log;
pub mod options;
pub mod outcome;
pub mod random;
pub mod sim;
pub mod trace;
pub mod world;
