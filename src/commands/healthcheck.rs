use crate::cli;
use crate::error::Result;
use std::process::ExitCode;
pub(crate) fn healthcheck(_options: &cli::Healthcheck) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
