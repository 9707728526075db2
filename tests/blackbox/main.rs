//! Black-box tests: the real binary, started as its users start it, and raw bytes over real sockets.

mod answer;
mod architecture;
mod archive;
mod bad_input;
mod binary;
mod client;
mod config;
mod connection;
mod contract;
mod data;
mod drain;
mod imports;
mod io;
mod kill;
mod one_unit;
mod orders;
mod sagas;
mod server;
mod supply;
