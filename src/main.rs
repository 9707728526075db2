//! `orderlane`: the one place where the product is wired.

mod aside;
mod byte_size;
mod cli;
mod commands;
mod config;
mod control;
mod data;
mod engine;
mod error;
mod keeping;
mod provider;
mod recovery;
mod retention;
mod tree;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match config::arguments(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return error.report(),
    };
    let command = cli::Cli::parse_from(arguments).command;
    let result = match command {
        cli::Command::Serve(options) => commands::serve(options),
        cli::Command::Demo(options) => commands::demo(options),
        cli::Command::Loadtest(options) => commands::loadtest(options),
        cli::Command::Token(options) => commands::token(&options),
        cli::Command::Journal(options) => commands::journal(options),
        cli::Command::Backup(options) => commands::backup(&options),
        cli::Command::Restore(options) => commands::restore(&options),
        cli::Command::Healthcheck(options) => commands::healthcheck(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}
