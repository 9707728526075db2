//! `orderlane journal`: reads a data directory offline.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use orderlane_archive::{Archive, Checkpoints, FjallStore, Retention, put_order_line};
use orderlane_core::{Archived, Audit, Check, Config, OrderRecord, Shard, ShardId, Status};
use orderlane_gateway::json::render_audit;
use orderlane_journal::{OsDirectory, Recovered, SegmentFiles};

use crate::cli::{self, JournalCommand};
use crate::data::DataDirectory;
use crate::engine::{config_of, owner_of};
use crate::error::{Context, Result};
use crate::recovery;

pub(crate) fn journal(options: cli::Journal) -> Result<ExitCode> {
    match options.command {
        JournalCommand::Verify { data, json } => verify(&data, json),
        JournalCommand::Show { data } => show(&data),
        JournalCommand::Export { data, orders: false } => export(&data),
        JournalCommand::Export { data, orders: true } => export_orders(&data),
    }
}

/// What a data directory holds, recovered on the side and checked.
pub(crate) struct Verified {
    read: Recovered,
    /// Of each shard.
    pub(crate) audits: Vec<Audit>,
    pub(crate) violations: u64,
}

impl Verified {
    /// For people.
    pub(crate) fn print(&self) {
        let read = &self.read;
        println!(
            "{} events in {} frames, {} bytes; {} torn bytes behind the end",
            read.events, read.frames, read.bytes, read.torn_bytes
        );
        for audit in &self.audits {
            println!("shard {:>4}  sequence {:>12}  digest {:016x}", audit.shard, audit.sequence, audit.digest);
        }
        println!("violations {}", self.violations);
    }

    /// The object of `/v1/invariants`.
    fn print_json(&self) {
        let mut out = Vec::new();
        render_audit(&self.audits, &mut out);
        println!("{}", String::from_utf8_lossy(&out));
    }
}

fn verify(path: &Path, json: bool) -> Result<ExitCode> {
    let verified = verified(path)?;
    if json {
        verified.print_json()
    } else {
        verified.print()
    }
    Ok(if verified.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Recovers all shards on the side and checks them, each alone and all together, and every archived order. The next start would find
/// what it finds.
pub(crate) fn verified(path: &Path) -> Result<Verified> {
    let data = DataDirectory::open(path)?;
    let (shards, read) = recovered(&data)?;
    let mut audits: Vec<Audit> = shards.iter().map(Shard::audit).collect();
    if let Some(check) = sold_equals_completed(&shards, &audits) {
        audits[0].checks.push(check);
    }
    if let Some(check) = archived_orders_match(&data, &shards)? {
        audits[0].checks.push(check);
    }
    let violations = audits.iter().flat_map(|audit| &audit.checks).map(|check| check.violations).sum();
    Ok(Verified { read, audits, violations })
}

/// All shards as the next start would find them; what their checkpoints say agrees with the archive.
fn recovered(data: &DataDirectory) -> Result<(Vec<Shard>, Recovered)> {
    let files = files_of(&data.path)?;
    let directory = OsDirectory::new(&data.path);
    let checkpoints = Checkpoints::load(directory, owner_of(data.identity)).context("opening the checkpoints")?;
    let configs: Vec<Config> =
        (0..data.identity.shards).map(|shard| config_of(ShardId(shard), data.identity, data.seed)).collect();
    let read = recovery::recover(&files, &checkpoints, data.identity, &configs)?;
    for warning in checkpoints.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Some(mut archive) = archive_of(data)? {
        archive.check(&read.restored).context("the archive")?;
    }
    Ok((read.shards, read.journal))
}

/// The archive, if there is one yet: nothing of it is past its retention for who only reads.
fn archive_of(data: &DataDirectory) -> Result<Option<Archive<FjallStore>>> {
    if !data.path.join("archive").exists() {
        return Ok(None);
    }
    let (most, audit_dir) = (u64::MAX, None);
    let everything =
        Retention { key_micros: most, keys_max: most, order_micros: most, order_bytes_max: most, audit_dir };
    recovery::open_archive(data, everything, most).map(Some)
}

/// Reads every archived order: what they add up to is what the shards believe of them.
fn archived_orders_match(data: &DataDirectory, shards: &[Shard]) -> Result<Option<Check>> {
    let Some(archive) = archive_of(data)? else { return Ok(None) };
    let mut sums: Vec<Archived> = shards.iter().map(|shard| archive.dropped(shard.id())).collect();
    let (mut checked, mut malformed) = (0, 0);
    let scanned = archive.scan(&mut |order, bytes| {
        let slot = order.shard().index();
        match OrderRecord::from_bytes(bytes) {
            // Memory wins.
            _ if shards[slot].holds(order) => {}
            Some(record) => {
                checked += 1;
                sums[slot].add(&record.sums(order));
            }
            None => malformed += 1,
        }
    });
    scanned.context("reading the archive")?;
    let differ = shards.iter().zip(&sums).filter(|(shard, sums)| shard.archived() != *sums).count() as u64;
    Ok(Some(Check { name: "archived-orders-match", checked, violations: differ + malformed }))
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

fn export_orders(path: &Path) -> Result<ExitCode> {
    let data = DataDirectory::open(path)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let count = archived_orders(&data, &mut out)?;
    out.flush().context("writing the orders")?;
    eprintln!("{count} orders");
    Ok(ExitCode::SUCCESS)
}

/// Writes every archived order as a line of JSON; gives their count.
fn archived_orders(data: &DataDirectory, out: &mut impl Write) -> Result<u64> {
    let Some(archive) = archive_of(data)? else { return Ok(0) };
    let (mut count, mut written, mut line) = (0, Ok(()), String::new());
    let scanned = archive.scan(&mut |order, bytes| {
        if let Some(record) = OrderRecord::from_bytes(bytes).filter(|_| written.is_ok()) {
            line.clear();
            put_order_line(&mut line, order, &record);
            written = out.write_all(line.as_bytes());
            count += 1;
        }
    });
    scanned.context("reading the archive")?;
    written.context("writing the orders")?;
    Ok(count)
}

/// The segments as the next start will find them.
fn files_of(path: &Path) -> Result<SegmentFiles> {
    let files = SegmentFiles::list(OsDirectory::new(path)).context("reading the journal")?;
    files.forget_cached().context("reading the journal")?;
    Ok(files)
}
