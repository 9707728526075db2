//! `orderlane token`: a token signed by the development key of a data directory.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orderlane_core::Time;
use orderlane_gateway::auth::{self, Scope};

use crate::cli;
use crate::data;
use crate::error::{Context, Error, Result};

pub(crate) fn token(options: &cli::Token) -> Result<ExitCode> {
    let names = options.scope.split([' ', ',']).filter(|name| !name.is_empty());
    let scopes = names
        .map(|name| {
            Scope::parse(name).ok_or_else(|| Error::usage(format!("--scope: {name} is not a scope; {}", known())))
        })
        .collect::<Result<Vec<Scope>>>()?;
    println!("{}", sign(&options.data, &options.subject, &scopes, options.ttl)?);
    Ok(ExitCode::SUCCESS)
}

/// Signs a token with the key of the data directory.
pub(crate) fn sign(data: &Path, subject: &str, scopes: &[Scope], ttl: Duration) -> Result<String> {
    let key = data::dev_key(data)?;
    auth::sign(&key, subject, scopes, ttl, now()).context("signing the token")
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

fn known() -> String {
    let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.name()).collect();
    format!("there are {}", names.join(", "))
}
