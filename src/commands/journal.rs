//! `orderlane journal`: reads a data directory offline.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use orderlane_core::{Audit, Check, Sequence, Shard, ShardId, Status};
use orderlane_gateway::json::render_audit;
use orderlane_journal::{OsDirectory, SegmentFiles};

use crate::cli::{self, JournalCommand};
use crate::data::DataDirectory;
use crate::engine::config_of;
use crate::error::{Context, Result};

pub(crate) fn journal(options: cli::Journal) -> Result<ExitCode> {
    match options.command {
        JournalCommand::Verify { data, json } => verify(&data, json),
        JournalCommand::Show { data } => show(&data),
        JournalCommand::Export { data } => export(&data),
    }
}

/// Recovers all shards on the side and checks them, each alone and all together.
fn verify(path: &Path, json: bool) -> Result<ExitCode> {
    let data = DataDirectory::open(path)?;
    let files = files_of(path)?;
    let count = data.identity.shards;
    let mut shards: Vec<Shard> =
        (0..count).map(|shard| Shard::new(config_of(ShardId(shard), data.identity, data.seed))).collect();
    let wanted: Vec<(ShardId, Sequence)> = (0..count).map(|shard| (ShardId(shard), 1)).collect();
    let read = files
        .recover(data.identity, &wanted, |shard, _, time, event| shards[shard.index()].apply(time, event))
        .context("reading the journal")?;
    let mut audits: Vec<Audit> = shards.iter().map(Shard::audit).collect();
    if let Some(check) = sold_equals_completed(&shards, &audits) {
        audits[0].checks.push(check);
    }
    let violations: u64 = audits.iter().flat_map(|audit| &audit.checks).map(|check| check.violations).sum();
    if json {
        let mut out = Vec::new();
        render_audit(&audits, &mut out);
        println!("{}", String::from_utf8_lossy(&out));
    } else {
        println!(
            "{} events in {} frames, {} bytes; {} torn bytes behind the end",
            read.events, read.frames, read.bytes, read.torn_bytes
        );
        for audit in &audits {
            println!("shard {:>4}  sequence {:>12}  digest {:016x}", audit.shard, audit.sequence, audit.digest);
        }
        println!("violations {violations}");
    }
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// When no saga is under way, what the stock shards have sold is what completed orders bought. Only here are all shards seen
/// at one moment.
fn sold_equals_completed(shards: &[Shard], audits: &[Audit]) -> Option<Check> {
    let open = |audit: &Audit| Status::ALL.iter().any(|status| !status.is_end() && audit.orders[*status as usize] > 0);
    if audits.iter().any(open) {
        return None;
    }
    let sold: u64 = audits.iter().map(|audit| audit.stock.sold).sum();
    let completed: u64 = shards.iter().map(Shard::units_completed).sum();
    Some(Check { name: "sold-equals-completed", checked: 1, violations: u64::from(sold != completed) })
}

fn show(path: &Path) -> Result<ExitCode> {
    let data = DataDirectory::open(path)?;
    let files = files_of(path)?;
    println!("{:<28} {:>10} {:>12} {:>14}  state", "segment", "frames", "events", "bytes");
    files
        .show(data.identity, |segment| {
            println!(
                "{:<28} {:>10} {:>12} {:>14}  {:?}",
                segment.name.to_string(),
                segment.frames,
                segment.events,
                segment.bytes,
                segment.state
            );
        })
        .context("reading the journal")?;
    Ok(ExitCode::SUCCESS)
}

fn export(path: &Path) -> Result<ExitCode> {
    let data = DataDirectory::open(path)?;
    let files = files_of(path)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let count = files.export(data.identity, &mut out).context("exporting the journal")?;
    out.flush().context("writing the events")?;
    eprintln!("{count} events");
    Ok(ExitCode::SUCCESS)
}

/// The segments as the next start will find them.
fn files_of(path: &Path) -> Result<SegmentFiles> {
    let files = SegmentFiles::list(OsDirectory::new(path)).context("reading the journal")?;
    files.forget_cached().context("reading the journal")?;
    Ok(files)
}
