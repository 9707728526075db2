//! Orders as lines of JSON, written before they go. Payment tokens are left out: a file like this is made to be passed on.
//! An order that was called back after it was archived may be in two files: the later one counts.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use orderlane_core::{OrderId, OrderRecord, OrderView, ShardId};

use super::windows::{self, Window};
use super::{ArchiveError, ingest::decode};
use crate::limits::SCAN_STEP_MAX;
use crate::store::Store;

/// An export of one window under way.
#[derive(Debug)]
pub(super) struct Export {
    window: u32,
    file: File,
    path: PathBuf,
    path_final: PathBuf,
    directory: PathBuf,
    from: Vec<u8>,
}

impl Export {
    pub(super) fn begin(directory: &Path, id: u32, window: &Window) -> Result<Export, ArchiveError> {
        fs::create_dir_all(directory)?;
        let (first, last) = window.ended().map_or((0, 0), |(first, last)| (first.0, last.0));
        let name = format!("orders-{id:08}-{first}-{last}.ndjson");
        let path = directory.join(format!("{name}.unfinished"));
        Ok(Export {
            window: id,
            file: File::create(&path)?,
            path,
            path_final: directory.join(name),
            directory: directory.to_owned(),
            from: windows::order_key(0, 0).to_vec(),
        })
    }

    /// Writes some orders, and in the end makes the file durable: then true.
    pub(super) fn step(&mut self, store: &impl Store) -> Result<bool, ArchiveError> {
        let (mut lines, mut count, mut next) = (String::new(), 0, None);
        let mut result = Ok(());
        let space = windows::orders_space(self.window);
        store.scan(&space, &self.from, &windows::order_key(u16::MAX, u64::MAX), false, &mut |key, bytes| {
            if count == SCAN_STEP_MAX / 4 {
                next = Some(key.to_vec());
                return false;
            }
            count += 1;
            result = line(key, bytes, &mut lines);
            result.is_ok()
        })?;
        result?;
        self.file.write_all(lines.as_bytes())?;
        if let Some(next) = next {
            self.from = next;
            return Ok(false);
        }
        self.file.sync_all()?;
        fs::rename(&self.path, &self.path_final)?;
        sync_directory(&self.directory)?;
        Ok(true)
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn line(key: &[u8], bytes: &[u8], out: &mut String) -> Result<(), ArchiveError> {
    let shard = key.first_chunk::<2>().map(|shard| u16::from_be_bytes(*shard));
    let (Some(shard), Some(number)) = (shard, windows::word_at(key, 2).filter(|number| *number < 1 << 48)) else {
        return Err(ArchiveError::Damaged("the name of an order".to_owned()));
    };
    let record: OrderRecord = decode(bytes, shard, number)?;
    put_order_line(out, OrderId::new(ShardId(shard), number), &record);
    Ok(())
}

/// Appends an order as a line of JSON, as the export before deletion writes it.
pub fn put_order_line(out: &mut String, order: OrderId, record: &OrderRecord) {
    object(&record.view(order), out);
    out.push('\n');
}

fn object(view: &OrderView, out: &mut String) {
    let OrderView { order, body, status, reason, total, currency, prices, version, created_at, updated_at } = view;
    out.push('{');
    text("id", &order.to_string(), out);
    text("subject", body.subject(), out);
    text("customer", body.customer(), out);
    text("key", body.key(), out);
    text("status", status.name(), out);
    optional("reason", reason.map(|reason| reason.code()), out);
    optional("currency", currency.as_ref().map(|currency| currency.as_str()), out);
    if let Some(total) = total {
        number("total", *total, out);
    }
    if let Some(total) = body.total_expected() {
        number("expectedTotal", total, out);
    }
    number("version", u64::from(*version), out);
    number("createdAt", created_at.0, out);
    number("updatedAt", updated_at.0, out);
    optional("email", body.email(), out);
    optional("reference", body.reference(), out);
    out.push_str(",\"metadata\":{");
    let start = out.len();
    for (name, value) in body.metadata() {
        separate(start, out);
        string(name, out);
        out.push(':');
        string(value, out);
    }
    out.push_str("},\"lines\":[");
    for (index, line) in body.lines().enumerate() {
        out.push_str(if index > 0 { ",{" } else { "{" });
        text("sku", line.sku, out);
        number("quantity", u64::from(line.quantity), out);
        if let Some(price) = prices.get(index) {
            number("unitPrice", *price, out);
        }
        out.push('}');
    }
    out.push_str("]}");
}

fn separate(start: usize, out: &mut String) {
    if out.len() > start {
        out.push(',');
    }
}

fn name(name: &str, out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
    string(name, out);
    out.push(':');
}

fn text(field: &str, value: &str, out: &mut String) {
    name(field, out);
    string(value, out);
}

fn optional(field: &str, value: Option<&str>, out: &mut String) {
    if let Some(value) = value {
        text(field, value, out);
    }
}

fn number(field: &str, value: u64, out: &mut String) {
    name(field, out);
    write!(out, "{value}").expect("a string takes everything");
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\u{0}'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes everything"),
            _ => out.push(character),
        }
    }
    out.push('"');
}
