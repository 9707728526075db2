//! A data directory: what it is, its key, and who may use it. Made aside, then renamed: a kill leaves none or a whole one.
//!
//! ```text
//! orderlane.json   format, version, identity, shards; whoever uses the directory holds its lock
//! dev-key.jwk      the development key
//! *.seg            journal segments          *.ckp   checkpoints          archive/   finished orders, their keys
//! control.sock     where a running server listens for `orderlane backup`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use orderlane_gateway::auth;
use orderlane_journal::Identity;
use serde::{Deserialize, Serialize};

use crate::aside::{Aside, is_there, sync_directory};
use crate::error::{Context, Error, Result};

const FORMAT_FILE: &str = "orderlane.json";
const KEY_FILE: &str = "dev-key.jwk";
const FORMAT: &str = "orderlane-data";
/// 1: the journal alone. 2: journal, checkpoints and archive.
const VERSION: u32 = 2;
/// Read, and made [`VERSION`] by the first start: what it holds is a directory that has neither checkpoint nor archive yet.
const VERSION_OLDEST: u32 = 1;

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
    /// The version that this start has found and replaced, if it was an older one.
    pub(crate) upgraded_from: Option<u32>,
    lock: File,
}

impl DataDirectory {
    /// Opens `path`, making it with `shards` shards (8 when absent) if it does not exist.
    pub(crate) fn open_or_make(path: &Path, shards: Option<u16>) -> Result<DataDirectory> {
        if !is_there(path)? {
            make(path, shards.unwrap_or(8))?;
        }
        let mut data = DataDirectory::open(path)?;
        match shards {
            Some(shards) if shards != data.identity.shards => Err(Error::usage(format!(
                "{} was made with {} shards, --shards says {shards}: the count is fixed when a data directory is made; leave --shards out",
                path.display(),
                data.identity.shards
            ))),
            _ => {
                data.upgrade()?;
                Ok(data)
            }
        }
    }

    /// Opens a data directory that exists, for reading: one of an older version is read and stays what it is.
    pub(crate) fn open(path: &Path) -> Result<DataDirectory> {
        let mut lock = locked(path)?;
        let format = format_in(&mut lock, path)?;
        let (identity, seed) = check(&format, path)?;
        let dev_key = fs::read(path.join(KEY_FILE)).context(format!("reading {}", path.join(KEY_FILE).display()))?;
        Ok(DataDirectory { path: path.to_owned(), identity, seed, dev_key, upgraded_from: None, lock })
    }

    /// Where a running server listens.
    pub(crate) fn control_socket(path: &Path) -> PathBuf {
        path.join("control.sock")
    }

    /// Makes the directory one of this version, if it is older. The new file is locked before it takes the place of the old
    /// one, whose lock is held until then: nobody else gets in between.
    fn upgrade(&mut self) -> Result<()> {
        let format = format_in(&mut self.lock, &self.path)?;
        if format.version == VERSION {
            return Ok(());
        }
        let found = format.version;
        let action = || format!("upgrading {} from version {found} to {VERSION}", self.path.display());
        let text = serde_json::to_vec_pretty(&Format { version: VERSION, ..format }).context(action())?;
        let aside = self.path.join(format!("{FORMAT_FILE}.new"));
        if let Err(error) = fs::remove_file(&aside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::new(format!("{}: {error}", action())));
        }
        write_durably(&aside, &text).context(action())?;
        let lock = File::open(&aside).context(action())?;
        lock.try_lock().context(action())?;
        fs::rename(&aside, self.path.join(FORMAT_FILE)).context(action())?;
        sync_directory(&self.path).context(action())?;
        self.lock = lock;
        self.upgraded_from = Some(found);
        tracing::info!(from = found, to = VERSION, "the data directory was upgraded; older releases refuse it now");
        Ok(())
    }
}

/// Whether no process has the data directory open.
pub(crate) fn is_free(path: &Path) -> Result<bool> {
    let lock = open_format(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Error::new(format!("locking {}: {error}", path.display()))),
    }
}

fn open_format(path: &Path) -> Result<File> {
    File::open(path.join(FORMAT_FILE))
        .context(format!("{} is not a data directory of orderlane: opening {FORMAT_FILE}", path.display()))
}

/// The format file, locked for this process. It may have been replaced by an upgrade between the opening and the lock: then the
/// lock would keep nobody out.
fn locked(path: &Path) -> Result<File> {
    let in_use = || format!("{} is in use by another process; stop that one first", path.display());
    let lock = open_format(path)?;
    lock.try_lock().context(in_use())?;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let action = || format!("looking at {}", path.join(FORMAT_FILE).display());
    let mine = lock.metadata().map(id).context(action())?;
    let there = fs::metadata(path.join(FORMAT_FILE)).map(id).context(action())?;
    if mine == there { Ok(lock) } else { Err(Error::new(in_use())) }
}

fn format_in(file: &mut File, path: &Path) -> Result<Format> {
    use std::io::Seek;
    let path = path.join(FORMAT_FILE);
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).context(format!("reading {}", path.display()))?;
    serde_json::from_str(&text).context(format!("{} is damaged", path.display()))
}

/// The development key of a data directory that may be in use.
pub(crate) fn dev_key(path: &Path) -> Result<Vec<u8>> {
    let key = path.join(KEY_FILE);
    fs::read(&key)
        .context(format!("reading {} (start `orderlane serve` once to make the data directory)", key.display()))
}

fn check(format: &Format, path: &Path) -> Result<(Identity, u64)> {
    if format.format != FORMAT || !(VERSION_OLDEST..=VERSION).contains(&format.version) {
        return Err(Error::new(format!(
            "{} has format {} version {}; this program reads {FORMAT} versions {VERSION_OLDEST} to {VERSION}: use the release that made it",
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

fn make(path: &Path, shards: u16) -> Result<()> {
    let action = || format!("making the data directory {}", path.display());
    let aside = Aside::new(path)?;
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
    write_durably(&aside.path().join(FORMAT_FILE), &format).context(action())?;
    let key = auth::dev_key_generate().context("making the development key")?;
    write_durably(&aside.path().join(KEY_FILE), &key).context(action())?;
    aside.finish()
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
