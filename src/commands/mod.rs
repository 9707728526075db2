//! One file a command.

mod backup;
mod demo;
mod healthcheck;
mod journal;
mod loadtest;
mod restore;
mod serve;
mod token;

pub(crate) use backup::backup;
pub(crate) use demo::demo;
pub(crate) use healthcheck::healthcheck;
pub(crate) use journal::journal;
pub(crate) use loadtest::loadtest;
pub(crate) use restore::restore;
pub(crate) use serve::serve;
pub(crate) use token::token;
