//! One TOML file under the environment and the flags: each of its keys is the name of a flag.
//!
//! The file's values are put into the environment's place: a key whose variable is not set becomes an argument in front of
//! the user's own, so that flag > environment > file holds without a second parser.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::error::{Context, Error, Result};

/// The arguments to parse: the program, the command (`serve` when none is given), what the file says, what the user says.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Result<Vec<OsString>> {
    let mut given: Vec<OsString> = given.collect();
    if given.is_empty() {
        given.push("orderlane".into());
    }
    if !names_command(given.get(1)) {
        given.insert(1, "serve".into());
    }
    let Some(path) = file_of(&given) else { return Ok(given) };
    let command = given[1].to_string_lossy().into_owned();
    let from_file = flags_of(&path, &command)?;
    let rest = given.split_off(2);
    given.extend(from_file);
    given.extend(rest);
    Ok(given)
}

fn names_command(argument: Option<&OsString>) -> bool {
    let Some(name) = argument.and_then(|argument| argument.to_str()) else { return false };
    let other = ["help", "-h", "--help", "-V", "--version"].contains(&name);
    other || Cli::command().get_subcommands().any(|command| command.get_name() == name)
}

fn file_of(given: &[OsString]) -> Option<PathBuf> {
    let position = given.iter().position(|argument| argument == "--config");
    let next = position.and_then(|position| given.get(position + 1)).map(PathBuf::from);
    let joined =
        || given.iter().filter_map(|argument| argument.to_str()?.strip_prefix("--config=").map(PathBuf::from)).next();
    next.or_else(joined).or_else(|| std::env::var_os("ORDERLANE_CONFIG").map(PathBuf::from))
}

fn flags_of(path: &std::path::Path, command: &str) -> Result<Vec<OsString>> {
    let text = std::fs::read_to_string(path).context(format!("reading {}", path.display()))?;
    let table: toml::Table = text.parse().context(format!("reading {}", path.display()))?;
    let cli = Cli::command();
    let command = cli.find_subcommand(command).ok_or_else(|| Error::usage("--config goes with a command"))?;
    let mut flags = Vec::new();
    for (key, value) in table {
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(&key)).ok_or_else(|| {
            Error::usage(format!("{}: {key} is not a setting of {}; see --help", path.display(), command.get_name()))
        })?;
        if argument.get_env().is_some_and(|variable| std::env::var_os(variable).is_some()) {
            continue;
        }
        match value {
            toml::Value::Boolean(false) => {}
            toml::Value::Boolean(true) => flags.push(format!("--{key}").into()),
            toml::Value::String(text) => flags.push(format!("--{key}={text}").into()),
            toml::Value::Integer(number) => flags.push(format!("--{key}={number}").into()),
            toml::Value::Float(number) => flags.push(format!("--{key}={number}").into()),
            other => {
                let kind = other.type_str();
                let where_ = path.display();
                return Err(Error::usage(format!(
                    "{where_}: {key} is a {kind}; write a string, a number or a boolean"
                )));
            }
        }
    }
    Ok(flags)
}
