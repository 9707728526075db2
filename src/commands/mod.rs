//! One file a command.

mod demo;
mod healthcheck;
mod journal;
mod loadtest;
mod serve;
mod token;

pub(crate) use demo::demo;
pub(crate) use healthcheck::healthcheck;
pub(crate) use journal::journal;
pub(crate) use loadtest::loadtest;
pub(crate) use serve::serve;
pub(crate) use token::token;
