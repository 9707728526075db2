//! A world from its start to its end.

use crate::options::Options;
use crate::outcome::Outcome;

/// Runs the world of these options. A panic of the engine is caught and is a violation.
#[must_use]
pub fn run(_options: Options, _keep_text: bool) -> Outcome {
    unimplemented!("wired when its parts are there")
}
