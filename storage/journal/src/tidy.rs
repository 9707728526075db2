//! The freed segments of a run go: some become the next ones, the others are removed. Never on the way of a commit.
//!
//! One name changes at a time, and is durable before the next one does: after a loss of power, too, what is left has no gap.

use std::io;
use std::rc::Rc;

use orderlane_core::{Sequence, ShardId};
use orderlane_lane::{CommitError, Disk, Driver};

use crate::prepare::take_over;
use crate::writer::{FileOf, Writer};

impl<D: Driver> Writer<D> {
    /// The events of these shards up to these sequences are needed by no start.
    pub(crate) fn covered(self: &Rc<Self>, upto: &[(ShardId, Sequence)]) {
        self.spent.borrow_mut().cover(upto);
        self.free();
    }

    /// A commit in `segment` is durable. The segments before it are not written to any more; and the oldest one that is left when
    /// they go begins with a whole frame, which a recovery that has nothing before it must believe.
    pub(crate) fn anchor(self: &Rc<Self>, segment: u32) {
        if self.anchored.replace(segment) != segment {
            self.free();
        }
    }

    fn free(self: &Rc<Self>) {
        if self.failed().is_none() {
            self.spent.borrow_mut().free_before(self.anchored.get());
            self.tidy();
        }
    }

    /// Removes what is not kept to be recycled. Files that stay because of an error stay for the run: the ones behind them do, too,
    /// and the next start copes with all of them.
    fn tidy(self: &Rc<Self>) {
        let has_surplus = self.spent.borrow().has_surplus(|segment| self.is_fit(segment));
        if !has_surplus || self.warning.borrow().is_some() || self.tidying.replace(true) {
            return;
        }
        let writer = Rc::clone(self);
        self.driver.spawn(async move {
            if let Err(source) = writer.remove_surplus().await {
                writer.warn(CommitError { action: "removing a spent journal segment", source });
            }
            writer.tidied();
        });
    }

    async fn remove_surplus(&self) -> io::Result<()> {
        let disk = self.driver.disk();
        let next = || self.spent.borrow_mut().take_surplus(|segment| self.is_fit(segment));
        while let Some(segment) = next() {
            disk.remove(&self.options.segment_name(segment).to_string()).await?;
            disk.sync_directory().await?;
        }
        Ok(())
    }

    /// Makes the oldest freed segment the unfinished `segment`; `None` when there is none.
    pub(crate) async fn recycle(self: &Rc<Self>, segment: u32) -> Result<Option<FileOf<D>>, CommitError> {
        self.changes.until(|| (!self.tidying.replace(true)).then_some(())).await;
        let fit = |segment| self.is_fit(segment);
        let may = self.warning.borrow().is_none();
        let old = if may { self.spent.borrow_mut().take_fit(fit) } else { None };
        let result = match old {
            None => Ok(None),
            Some(old) => {
                let (old, new) = (self.options.segment_name(old), self.options.segment_name(segment));
                take_over(self.driver.disk(), old, new).await.map(Some)
            }
        };
        if let Err(error) = &result {
            // Its name may be either one: nothing behind it may go.
            self.warn(CommitError { action: error.action, source: io::Error::from(error.source.kind()) });
        }
        self.tidied();
        self.tidy();
        result
    }

    fn tidied(&self) {
        self.tidying.set(false);
        self.changes.announce();
    }

    fn is_fit(&self, segment: u32) -> bool {
        self.options.segment_bytes_of(segment) == self.options.segment_bytes
    }

    fn warn(&self, error: CommitError) {
        tracing::warn!(
            lane = self.options.lane,
            "{} failed: {}; journal segments that are not needed stay until a later start",
            error.action,
            error.source
        );
        self.warning.borrow_mut().get_or_insert(error);
    }
}
