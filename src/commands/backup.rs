//! `orderlane backup`: a consistent copy of a data directory. The server that runs on it makes it; without one, this command.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::journal::{Verified, verified};
use crate::aside::Aside;
use crate::cli;
use crate::control::ask_for_backup;
use crate::data::{DataDirectory, is_free};
use crate::error::{Context, Error, Result};
use crate::tree::{Copied, copy_tree};

pub(crate) fn backup(options: &cli::Backup) -> Result<ExitCode> {
    let target = std::path::absolute(&options.target).context("the backup's directory")?;
    let report =
        if is_free(&options.data)? { copy(&options.data, &target)? } else { ask_for_backup(&options.data, &target)? };
    println!("{report}");
    Ok(ExitCode::SUCCESS)
}

/// Copies a data directory that nobody uses, and checks the copy.
fn copy(path: &Path, target: &Path) -> Result<String> {
    let started = Instant::now();
    let data = DataDirectory::open(path)?;
    if target.starts_with(std::path::absolute(path).context("the data directory")?) {
        return Err(Error::usage("the backup cannot be inside the data directory"));
    }
    let aside = Aside::new(target)?;
    let copied = copy_tree(&data.path, aside.path()).context(format!("copying to {}", target.display()))?;
    let verified = verified(aside.path())?;
    if verified.violations > 0 {
        return Err(Error::new(format!(
            "the data directory has {} violations; see journal verify",
            verified.violations
        )));
    }
    aside.finish()?;
    Ok(report(&verified, copied, started))
}

/// What a backup says of itself.
pub(crate) fn report(verified: &Verified, copied: Copied, started: Instant) -> String {
    let shards: Vec<_> =
        verified.audits.iter().map(|audit| json!({"shard": audit.shard.0, "sequence": audit.sequence})).collect();
    json!({
        "shards": shards,
        "bytes": copied.bytes,
        "files": copied.files,
        "linked": copied.linked,
        "seconds": started.elapsed().as_secs_f64(),
    })
    .to_string()
}
