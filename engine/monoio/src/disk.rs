//! The data directory: through the ring, or on the helper thread.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use monoio::fs as ring;
use orderlane_lane::Disk;

use crate::helper::Helper;

/// Owner only: the journal holds what customers bought.
const FILE_MODE: u32 = 0o600;

/// The data directory of a lane.
#[derive(Clone)]
pub struct MonoioDisk {
    path: Rc<Path>,
    directory: MonoioFile,
    helper: Option<Helper>,
}

/// An open file of the data directory.
#[derive(Clone)]
pub struct MonoioFile(Inner);

#[derive(Clone)]
enum Inner {
    Ring(Rc<ring::File>),
    Helper(Arc<fs::File>, Helper),
}

impl MonoioDisk {
    /// Opens the directory, which exists. Without a helper, files go through the ring.
    pub(crate) fn open(path: &Path, helper: Option<Helper>) -> io::Result<MonoioDisk> {
        let path = path::absolute(path)?;
        let directory = fs::OpenOptions::new().read(true).open(&path)?;
        let directory = MonoioFile(match &helper {
            None => Inner::Ring(Rc::new(ring::File::from_std(directory)?)),
            Some(helper) => Inner::Helper(Arc::new(directory), helper.clone()),
        });
        Ok(MonoioDisk { path: path.into(), directory, helper })
    }

    fn file_path(&self, name: &str) -> PathBuf {
        assert!(
            !name.is_empty() && !name.contains('/') && name != "..",
            "`{name}` names no file of the data directory"
        );
        self.path.join(name)
    }
}

impl Disk for MonoioDisk {
    type File = MonoioFile;

    fn create(&self, name: &str) -> impl Future<Output = io::Result<MonoioFile>> + 'static {
        let (path, helper) = (self.file_path(name), self.helper.clone());
        async move {
            Ok(MonoioFile(match helper {
                None => {
                    let mut options = ring::OpenOptions::new();
                    let options = options.read(true).write(true).create_new(true).mode(FILE_MODE);
                    Inner::Ring(Rc::new(options.open(path).await?))
                }
                Some(helper) => {
                    let mut options = fs::OpenOptions::new();
                    options.read(true).write(true).create_new(true).mode(FILE_MODE);
                    Inner::Helper(Arc::new(helper.run(move || options.open(path)).await?), helper)
                }
            }))
        }
    }

    fn open(&self, name: &str) -> impl Future<Output = io::Result<MonoioFile>> + 'static {
        let (path, helper) = (self.file_path(name), self.helper.clone());
        async move {
            Ok(MonoioFile(match helper {
                None => {
                    let mut options = ring::OpenOptions::new();
                    Inner::Ring(Rc::new(options.read(true).write(true).open(path).await?))
                }
                Some(helper) => {
                    let mut options = fs::OpenOptions::new();
                    options.read(true).write(true);
                    Inner::Helper(Arc::new(helper.run(move || options.open(path)).await?), helper)
                }
            }))
        }
    }

    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (path, helper) = (self.file_path(name), self.helper.clone());
        async move {
            match helper {
                None => ring::remove_file(path).await,
                Some(helper) => helper.run(move || fs::remove_file(path)).await,
            }
        }
    }

    fn write_at(
        &self,
        file: &MonoioFile,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = (io::Result<()>, Vec<u8>)> + 'static {
        let file = file.clone();
        // Both loops continue a short write and fail on one of zero bytes.
        async move {
            match file.0 {
                Inner::Ring(file) => file.write_all_at(bytes, offset).await,
                Inner::Helper(file, helper) => helper.run(move || (file.write_all_at(&bytes, offset), bytes)).await,
            }
        }
    }

    fn sync(&self, file: &MonoioFile) -> impl Future<Output = io::Result<()>> + 'static {
        let file = file.clone();
        async move {
            match file.0 {
                Inner::Ring(file) => file.sync_data().await,
                Inner::Helper(file, helper) => helper.run(move || file.sync_data()).await,
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + 'static {
        let (from, to, helper) = (self.file_path(from), self.file_path(to), self.helper.clone());
        async move {
            match helper {
                None => ring::rename(from, to).await,
                Some(helper) => helper.run(move || fs::rename(from, to)).await,
            }
        }
    }

    fn sync_directory(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let directory = self.directory.clone();
        async move {
            match directory.0 {
                Inner::Ring(directory) => directory.sync_all().await,
                Inner::Helper(directory, helper) => helper.run(move || directory.sync_all()).await,
            }
        }
    }
}
