//! The journal from outside: codec, commit over a disk in memory, recovery after every kind of damage.

mod codec;
mod commit;
mod damage;
mod files;
mod memory;
mod power_loss;
mod recycle;
mod sample;
