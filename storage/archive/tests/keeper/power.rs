//! Power that goes after some operations, and a directory that keeps only what was synced when it does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use orderlane_archive::{Give, MemoryStore, Store};
use orderlane_lane::Directory;

/// A small generator (Steele et al., `SplitMix64`).
#[derive(Clone, Debug)]
pub struct Dice(Rc<Cell<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Rc::new(Cell::new(seed)))
    }

    pub fn below(&self, end: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub fn coin(&self) -> bool {
        self.below(2) == 0
    }
}

/// The last operation that the power is there for may have an effect, and fails all the same.
#[derive(Clone, Debug)]
pub struct Power {
    left: Rc<Cell<u64>>,
    dice: Dice,
}

impl Power {
    pub fn new(dice: &Dice) -> Power {
        Power { left: Rc::new(Cell::new(u64::MAX)), dice: dice.clone() }
    }

    pub fn goes_after(&self, operations: u64) {
        self.left.set(operations + 1);
    }

    fn spend<T>(&self, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let off = || io::Error::other("the machine stops");
        let left = self.left.get().checked_sub(1).ok_or_else(off)?;
        self.left.set(left);
        if left > 0 {
            return operation();
        }
        if self.dice.coin() {
            operation()?;
        }
        Err(off())
    }
}

/// Files in memory. What was not synced may be there, or not, after [`MemoryDirectory::crash`].
#[derive(Clone, Debug)]
pub struct MemoryDirectory {
    path: PathBuf,
    disk: Rc<RefCell<Disk>>,
    power: Power,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    names_synced: BTreeMap<String, usize>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

/// An unsynced change of the names: each may reach the disk or not, whatever the others do.
#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Create(name, file) => drop(names.insert(name.clone(), *file)),
            Change::Remove(name) => drop(names.remove(name)),
            Change::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl Disk {
    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let file = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[*file])
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl MemoryDirectory {
    pub fn new(path: &Path, power: &Power) -> MemoryDirectory {
        MemoryDirectory { path: path.to_owned(), disk: Rc::default(), power: power.clone() }
    }

    /// What the disk holds when the power is there again.
    pub fn crash(&self, dice: &Dice, power: &Power) -> MemoryDirectory {
        let mut disk = self.disk.borrow().clone();
        let mut names = std::mem::take(&mut disk.names_synced);
        let some = dice.below(3);
        for change in std::mem::take(&mut disk.changes) {
            if some == 2 || some == 1 && dice.coin() {
                change.apply(&mut names);
            }
        }
        for file in &mut disk.files {
            let unsynced = file.bytes.len() - file.synced;
            match dice.below(4) {
                0 => file.bytes.truncate(file.synced),
                1 => file.bytes.truncate(file.synced + dice.below(unsynced as u64 + 1) as usize),
                2 => file.bytes[file.synced..].fill(0),
                _ => {}
            }
            file.synced = file.bytes.len();
        }
        (disk.names, disk.names_synced) = (names.clone(), names);
        MemoryDirectory { path: self.path.clone(), disk: Rc::new(RefCell::new(disk)), power: power.clone() }
    }

    /// A file as if it had always been there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let disk = &mut *self.disk.borrow_mut();
        disk.files.push(File { bytes: bytes.to_vec(), synced: bytes.len() });
        let file = disk.files.len() - 1;
        disk.names.insert(name.to_owned(), file);
        disk.names_synced.insert(name.to_owned(), file);
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.disk.borrow_mut().file(name).expect("it is there").bytes.clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.disk.borrow().names.contains_key(name)
    }

    pub fn checkpoints(&self) -> Vec<String> {
        self.disk.borrow().names.keys().filter(|name| name.contains(".ckp")).cloned().collect()
    }

    /// Puts all files where a real directory would have them.
    pub fn write_out(&self) {
        let disk = self.disk.borrow();
        for (name, file) in &disk.names {
            std::fs::write(self.path.join(name), &disk.files[*file].bytes).expect("written");
        }
    }

    /// The files of a real directory.
    pub fn read_in(path: &Path, power: &Power) -> MemoryDirectory {
        let directory = MemoryDirectory::new(path, power);
        for entry in std::fs::read_dir(path).expect("listed") {
            let entry = entry.expect("listed");
            if entry.path().is_file() {
                directory.put(&entry.file_name().to_string_lossy(), &std::fs::read(entry.path()).expect("read"));
            }
        }
        directory
    }
}

impl Directory for MemoryDirectory {
    fn path(&self) -> &Path {
        &self.path
    }
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.borrow().names.keys().cloned().collect())
    }
    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.disk.borrow_mut().file(name)?.bytes.len() as u64)
    }
    fn read(&self, name: &str, offset: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut disk = self.disk.borrow_mut();
        let rest = disk.file(name)?.bytes.get(offset as usize..).unwrap_or_default();
        buffer.extend_from_slice(&rest[..bytes_max.min(rest.len())]);
        Ok(())
    }
    fn sync(&self, name: &str) -> io::Result<()> {
        self.power.spend(|| {
            let mut disk = self.disk.borrow_mut();
            let file = disk.file(name)?;
            file.synced = file.bytes.len();
            Ok(())
        })
    }
    fn forget_cached(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_names(&self) -> io::Result<()> {
        self.power.spend(|| {
            let disk = &mut *self.disk.borrow_mut();
            disk.names_synced = disk.names.clone();
            disk.changes.clear();
            Ok(())
        })
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.spend(|| {
            let mut disk = self.disk.borrow_mut();
            disk.file(name)?;
            disk.change(Change::Remove(name.to_owned()));
            Ok(())
        })
    }
    fn create(&self, name: &str) -> io::Result<()> {
        self.power.spend(|| {
            let mut disk = self.disk.borrow_mut();
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.files.push(File::default());
            let file = disk.files.len() - 1;
            disk.change(Change::Create(name.to_owned(), file));
            Ok(())
        })
    }
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.power.spend(|| {
            self.disk.borrow_mut().file(name)?.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.power.spend(|| {
            let mut disk = self.disk.borrow_mut();
            let file = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            disk.change(Change::Rename(from.to_owned(), to.to_owned(), file));
            Ok(())
        })
    }
}

/// A store whose operations, reads too, need power. Each is durable when it returns.
#[derive(Clone, Debug)]
pub struct PoweredStore {
    pub disk: Rc<RefCell<MemoryStore>>,
    pub power: Power,
}

impl Store for PoweredStore {
    fn keyspaces(&self) -> io::Result<Vec<String>> {
        self.disk.borrow().keyspaces()
    }
    fn ingest(&mut self, keyspace: &str, give: &mut Give<'_>) -> io::Result<()> {
        self.power.spend(|| self.disk.borrow_mut().ingest(keyspace, give))
    }
    fn drop_keyspace(&mut self, keyspace: &str) -> io::Result<()> {
        self.power.spend(|| self.disk.borrow_mut().drop_keyspace(keyspace))
    }
    fn set_meta(&mut self, entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        self.power.spend(|| self.disk.borrow_mut().set_meta(entries))
    }
    fn get(&self, keyspace: &str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.power.spend(|| self.disk.borrow().get(keyspace, key))
    }
    fn scan(
        &self,
        keyspace: &str,
        from: &[u8],
        to: &[u8],
        down: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        self.power.spend(|| self.disk.borrow().scan(keyspace, from, to, down, visit))
    }
}
