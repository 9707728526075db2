//! A data directory: what it is, its key, and who may use it. Made aside, then renamed: a kill leaves none or a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use orderlane_gateway::auth;
use orderlane_journal::Identity;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};

const FORMAT_FILE: &str = "orderlane.json";
const KEY_FILE: &str = "dev-key.jwk";
const FORMAT: &str = "orderlane-data";
const VERSION: u32 = 1;

/// What the format file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    format: String,
    version: u32,
    /// 128 bits in hexadecimal.
    identity: String,
    shards: u16,
    /// Seed of the hash tables.
    seed: u64,
}

/// An open data directory. While it lives, no other process can open it.
pub(crate) struct DataDirectory {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) seed: u64,
    pub(crate) dev_key: Vec<u8>,
    _lock: File,
}

impl DataDirectory {
    /// Opens `path`, making it with `shards` shards (8 when absent) if it does not exist.
    pub(crate) fn open_or_make(path: &Path, shards: Option<u16>) -> Result<DataDirectory> {
        if !is_there(path)? {
            make(path, shards.unwrap_or(8))?;
        }
        let data = DataDirectory::open(path)?;
        match shards {
            Some(shards) if shards != data.identity.shards => Err(Error::usage(format!(
                "{} was made with {} shards, --shards says {shards}: the count is fixed when a data directory is made; leave --shards out",
                path.display(),
                data.identity.shards
            ))),
            _ => Ok(data),
        }
    }

    /// Opens a data directory that exists.
    pub(crate) fn open(path: &Path) -> Result<DataDirectory> {
        let format_path = path.join(FORMAT_FILE);
        let mut lock = File::open(&format_path)
            .context(format!("{} is not a data directory of orderlane: opening {FORMAT_FILE}", path.display()))?;
        lock.try_lock().context(format!("{} is in use by another process; stop that one first", path.display()))?;
        let mut text = String::new();
        lock.read_to_string(&mut text).context(format!("reading {}", format_path.display()))?;
        let format: Format = serde_json::from_str(&text).context(format!("{} is damaged", format_path.display()))?;
        let (identity, seed) = check(&format, path)?;
        let dev_key = fs::read(path.join(KEY_FILE)).context(format!("reading {}", path.join(KEY_FILE).display()))?;
        Ok(DataDirectory { path: path.to_owned(), identity, seed, dev_key, _lock: lock })
    }
}

/// The development key of a data directory that may be in use.
pub(crate) fn dev_key(path: &Path) -> Result<Vec<u8>> {
    let key = path.join(KEY_FILE);
    fs::read(&key)
        .context(format!("reading {} (start `orderlane serve` once to make the data directory)", key.display()))
}

fn check(format: &Format, path: &Path) -> Result<(Identity, u64)> {
    if format.format != FORMAT || format.version != VERSION {
        return Err(Error::new(format!(
            "{} has format {} version {}; this program reads {FORMAT} version {VERSION}: use the release that made it",
            path.display(),
            format.format,
            format.version
        )));
    }
    let directory = u128::from_str_radix(&format.identity, 16)
        .context(format!("{} is damaged: identity", path.join(FORMAT_FILE).display()))?;
    if format.shards == 0 || format.shards > orderlane_core::limits::SHARDS_MAX {
        return Err(Error::new(format!("{} is damaged: shards {}", path.join(FORMAT_FILE).display(), format.shards)));
    }
    Ok((Identity { directory, shards: format.shards }, format.seed))
}

/// Whether there is something other than an empty directory, which a mount point may be.
fn is_there(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::new(format!("reading {}: {error}", path.display()))),
    }
}

fn make(path: &Path, shards: u16) -> Result<()> {
    let action = || format!("making the data directory {}", path.display());
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).context(action())?;
    let name = path.file_name().ok_or_else(|| Error::usage(format!("--data {} names no directory", path.display())))?;
    let aside = parent.join(format!(".{}.new-{}", name.to_string_lossy(), std::process::id()));
    let _ = fs::remove_dir_all(&aside);
    fs::DirBuilder::new().mode(0o700).create(&aside).context(action())?;
    let mut random = [0; 24];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).context("reading /dev/urandom")?;
    let (identity, seed) = random.split_at(16);
    let format = Format {
        format: FORMAT.into(),
        version: VERSION,
        identity: format!("{:032x}", u128::from_le_bytes(identity.try_into().expect("sixteen bytes"))),
        shards,
        seed: u64::from_le_bytes(seed.try_into().expect("eight bytes")),
    };
    let format = serde_json::to_vec_pretty(&format).context(action())?;
    write_durably(&aside.join(FORMAT_FILE), &format).context(action())?;
    let key = auth::dev_key_generate().context("making the development key")?;
    write_durably(&aside.join(KEY_FILE), &key).context(action())?;
    File::open(&aside).and_then(|directory| directory.sync_all()).context(action())?;
    fs::rename(&aside, path).context(action())?;
    File::open(parent).and_then(|directory| directory.sync_all()).context(action())
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
