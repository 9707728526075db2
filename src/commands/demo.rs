use crate::cli;
use crate::error::Result;
use std::process::ExitCode;
pub(crate) fn demo(_options: cli::Demo) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
