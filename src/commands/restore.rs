//! `orderlane restore`: a data directory of a backup, checked before it takes its place.

use std::process::ExitCode;

use super::journal::verified;
use crate::aside::Aside;
use crate::cli;
use crate::data::DataDirectory;
use crate::error::{Context, Error, Result};
use crate::tree::copy_tree;

pub(crate) fn restore(options: &cli::Restore) -> Result<ExitCode> {
    // Its lock keeps everybody else from the backup while it is copied.
    let backup = DataDirectory::open(&options.backup)?;
    let aside = Aside::new(&options.data)?;
    let copied = copy_tree(&backup.path, aside.path()).context(format!(
        "copying {} to {}",
        backup.path.display(),
        options.data.display()
    ))?;
    let verified = verified(aside.path()).context(format!("{} is refused", options.backup.display()))?;
    verified.print();
    if verified.violations > 0 {
        return Err(Error::new(format!("{} is refused: it has violations", options.backup.display())));
    }
    aside.finish()?;
    println!("restored to {}: {} files, {} bytes", options.data.display(), copied.files, copied.bytes);
    Ok(ExitCode::SUCCESS)
}
