//! The lane on a virtual clock: the real loop, port, mesh and shards; a commit, a prefetch, clients and a provider that the
//! test holds in its hand.

mod ends;
mod gate;
mod housekeeping;
mod inputs;
mod mesh;
mod schedules;
mod wakes;
mod world;
