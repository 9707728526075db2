//! What the archive needs of a key-value store: ordered keyspaces, bulk ingestion, small durable entries.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

/// The keyspace of small entries.
pub const META: &str = "meta";

/// Takes the next entry: key and value.
pub type Put<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'a;
/// Puts all entries, each time that it is called.
pub type Give<'a> = dyn FnMut(&mut Put<'_>) -> io::Result<()> + 'a;

/// Ordered keyspaces. One caller at a time; every call blocks. The real one is fjall; the simulator has its own, with crashes.
pub trait Store {
    /// Names of the keyspaces that exist, in any order.
    ///
    /// # Errors
    /// What the store said; so it is below.
    fn keyspaces(&self) -> io::Result<Vec<String>>;

    /// Adds the entries that `give` puts, in strictly ascending order of their keys, to `keyspace`, which is made if it does not exist. Newer
    /// entries hide older ones with the same key. Durable and visible when the call returns, all or none of them.
    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()>;

    /// Drops a whole keyspace; one that does not exist is no error.
    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()>;

    /// Sets small entries of the keyspace `meta`, all or none, durably; `None` removes.
    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()>;

    /// The entry with this key. A keyspace that does not exist is empty.
    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Entries with `from <= key <= to`, ascending or (when `down`) descending, until `visit` says false.
    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()>;
}

/// A store in memory: for tests, and what a simulated one is made of. A clone is what a disk would hold at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    keyspaces: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.keyspaces.values().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl Store for MemoryStore {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        Ok(self.keyspaces.keys().cloned().collect())
    }

    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()> {
        let mut entries = Vec::new();
        give(&mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "keys are ingested in strictly ascending order");
        self.keyspaces.entry(keyspace.to_owned()).or_default().extend(entries);
        Ok(())
    }

    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        self.keyspaces.remove(keyspace);
        Ok(())
    }

    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        let meta = self.keyspaces.entry(META.to_owned()).or_default();
        for (key, value) in entries {
            match value {
                Some(value) => meta.insert(key.clone(), value.clone()),
                None => meta.remove(key),
            };
        }
        Ok(())
    }

    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.keyspaces.get(keyspace).and_then(|entries| entries.get(key)).cloned())
    }

    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        let Some(entries) = self.keyspaces.get(keyspace) else { return Ok(()) };
        if from > to {
            return Ok(());
        }
        let mut range = entries.range::<[u8], _>((Bound::Included(from), Bound::Included(to)));
        while let Some((key, value)) = if down { range.next_back() } else { range.next() } {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
