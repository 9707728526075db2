//! `cargo sim`
fn main() {}
