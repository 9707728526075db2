//! The store on disk: fjall, filled by bulk ingestion. Its settings are measured; its defaults are ten times slower here.
//!
//! Durability, from its sources (fjall 3.1.13, lsm-tree 3.1.10): `Ingestion::finish` syncs each table, the directory of the tables,
//! the list of tables, its directory, and renames `current` with a sync on either side; so an ingestion is durable and all or
//! none when it returns. Two names are not synced: the directory of a new keyspace in `keyspaces`, and the database's own in its
//! parent. After a power cut the start would find a keyspace that its list knows and the disk does not, and go on without it.
//! So they are synced here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, FilterPolicy, PinningPolicy};
use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::archive::CUSTOMERS;
use crate::limits::{CACHE_BYTES, STORE_THREADS, TABLES_UNMERGED_MAX};
use crate::store::{Give, META, Store};

/// A fjall database in a directory of its own.
pub struct FjallStore {
    // Handles before the database: it waits for its threads when it is dropped.
    keyspaces: BTreeMap<String, Keyspace>,
    meta: Keyspace,
    database: Database,
    keyspaces_path: PathBuf,
}

impl FjallStore {
    /// Opens the database at `path`, or makes it. The caller holds the lock of the data directory.
    ///
    /// # Errors
    /// What fjall said; also when another process has it open.
    pub fn open(path: &Path) -> io::Result<FjallStore> {
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .worker_threads(STORE_THREADS)
            .open()
            .map_err(|error| failed("open", path.display(), &error))?;
        let keyspaces_path = path.join("keyspaces");
        let mut keyspaces = BTreeMap::new();
        for name in database.list_keyspace_names() {
            let keyspace =
                database.keyspace(&name, || data_options(&name)).map_err(|error| failed("open", &name, &error))?;
            keyspaces.insert(name.to_string(), keyspace);
        }
        let meta = match keyspaces.remove(META) {
            Some(meta) => meta,
            None => database.keyspace(META, meta_options).map_err(|error| failed("make", META, &error))?,
        };
        sync_directory(&keyspaces_path)?;
        sync_directory(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(FjallStore { keyspaces, meta, database, keyspaces_path })
    }

    fn keyspace(&self, name: &str) -> Option<&Keyspace> {
        if name == META { Some(&self.meta) } else { self.keyspaces.get(name) }
    }

    fn keyspace_made(&mut self, name: &str) -> io::Result<Keyspace> {
        if let Some(keyspace) = self.keyspace(name) {
            return Ok(keyspace.clone());
        }
        let keyspace =
            self.database.keyspace(name, || data_options(name)).map_err(|error| failed("make", name, &error))?;
        sync_directory(&self.keyspaces_path)?;
        self.keyspaces.insert(name.to_owned(), keyspace.clone());
        Ok(keyspace)
    }
}

impl Store for FjallStore {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        Ok(self.keyspaces.keys().cloned().chain([META.to_owned()]).collect())
    }

    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()> {
        let handle = self.keyspace_made(keyspace)?;
        let error = |error: fjall::Error| failed("ingest into", keyspace, &error);
        let mut ingestion = handle.start_ingestion().map_err(error)?;
        give(&mut |key, value| ingestion.write(key, value).map_err(error))?;
        ingestion.finish().map_err(error)
    }

    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        let Some(handle) = self.keyspaces.remove(keyspace) else { return Ok(()) };
        // Its files go with the last handle.
        self.database.delete_keyspace(handle).map_err(|error| failed("drop", keyspace, &error))
    }

    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in entries {
            match value {
                Some(value) => batch.insert(&self.meta, key.as_slice(), value.as_slice()),
                None => batch.remove(&self.meta, key.as_slice()),
            }
        }
        batch.commit().map_err(|error| failed("write", META, &error))
    }

    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(handle) = self.keyspace(keyspace) else { return Ok(None) };
        let value = handle.get(key).map_err(|error| failed("read", keyspace, &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        let Some(handle) = self.keyspace(keyspace).filter(|_| from <= to) else { return Ok(()) };
        let mut range = handle.range(from..=to);
        while let Some(guard) = if down { range.next_back() } else { range.next() } {
            let (key, value) = Guard::into_inner(guard).map_err(|error| failed("read", keyspace, &error))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").field("path", &self.keyspaces_path).finish_non_exhaustive()
    }
}

fn data_options(name: &str) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default();
    // Customers are only scanned.
    let scanned = name.starts_with(CUSTOMERS);
    let options = if scanned { options.filter_policy(FilterPolicy::disabled()) } else { options };
    options
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(TABLES_UNMERGED_MAX)))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
}

/// Every write rotates the memtable, because superseded tables, of all keyspaces, are freed by a rotation and by nothing else.
fn meta_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(1)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(what: &str, name: impl std::fmt::Display, error: &fjall::Error) -> io::Error {
    io::Error::other(format!("the archive cannot {what} {name}: {error}"))
}
