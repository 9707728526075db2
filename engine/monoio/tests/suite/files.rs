//! The data directory.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use orderlane_lane::{Disk, Driver};

use super::{Subject, on_a_lane, sleep, start};

pub(crate) fn files_are_created_once<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let disk = lane.driver.disk();
        disk.create("journal").await.expect("a new name can be created");
        let error = disk.create("journal").await.err().expect("a name is created once");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let mode = fs::metadata(lane.directory.join("journal")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only the owner reads the journal");
        let error = disk.rename("missing", "other").await.expect_err("what is missing cannot be renamed");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = disk.open("missing").await.err().expect("what is missing cannot be opened");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let again = disk.open("journal").await.expect("what is there can be opened");
        disk.write_at(&again, 0, b"over".to_vec()).await.0.expect("and written");
        assert_eq!(fs::read(lane.directory.join("journal")).expect("it is there"), b"over");
        disk.remove("journal").await.expect("what is there can be removed");
        assert!(!lane.directory.join("journal").exists());
        let error = disk.remove("journal").await.expect_err("only once");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

pub(crate) fn files_hold_what_was_written<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let disk = lane.driver.disk();
        let file = disk.create("segment.new").await.expect("a new name can be created");
        let large: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|index| (index % 251) as u8).collect();
        let (result, back) = disk.write_at(&file, 4_096, large.clone()).await;
        result.expect("there is room");
        assert_eq!(back, large, "the buffer comes back");
        let (result, _) = disk.write_at(&file, 0, vec![7; 4_096]).await;
        result.expect("there is room");
        let (result, back) = disk.write_at(&file, 10, Vec::with_capacity(100)).await;
        result.expect("nothing is soon written");
        assert_eq!(back.capacity(), 100);
        disk.sync(&file).await.expect("it can be synced");
        disk.rename("segment.new", "segment").await.expect("it can be renamed");
        disk.sync_directory().await.expect("the directory can be synced");
        let (result, _) = disk.write_at(&file.clone(), 8_000, b"again".to_vec()).await;
        result.expect("a renamed file is the same file");
        drop(file);

        let mut wanted = vec![7; 4_096];
        wanted.extend(large);
        wanted[8_000..8_005].copy_from_slice(b"again");
        assert!(!lane.directory.join("segment.new").exists());
        assert!(
            fs::read(lane.directory.join("segment")).expect("it is there") == wanted,
            "the file holds something else"
        );
    });
}

pub(crate) fn many_writes_at_once_do_not_mix<S: Subject>() {
    const WRITES: usize = 300;
    const BYTES: usize = 5_000;
    on_a_lane::<S, _>(async |lane| {
        let disk = lane.driver.disk();
        let file = disk.create("many").await.expect("a new name can be created");
        let tasks: Vec<_> = (0..WRITES)
            .map(|index| {
                let write = disk.write_at(&file, (index * BYTES) as u64, vec![index as u8; BYTES]);
                let (disk, file) = (disk.clone(), file.clone());
                start(&lane.driver, async move {
                    let (result, back) = write.await;
                    result.expect("there is room");
                    assert!(back.len() == BYTES && back.iter().all(|byte| *byte == index as u8), "another's buffer");
                    if index % 50 == 0 {
                        disk.sync(&file).await.expect("it can be synced");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        let content = fs::read(lane.directory.join("many")).expect("it is there");
        assert_eq!(content.len(), WRITES * BYTES);
        let whole = content.chunks(BYTES).enumerate().all(|(index, part)| part.iter().all(|byte| *byte == index as u8));
        assert!(whole, "two writes have mixed");
    });
}

pub(crate) fn files_do_not_stop_the_lane<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let disk = lane.driver.disk();
        let file = disk.create("slow").await.expect("a new name can be created");
        let (ticks, done) = (Rc::new(Cell::new(0_u32)), Rc::new(Cell::new(false)));
        let (ticked, ended, clock) = (ticks.clone(), done.clone(), lane.driver.clone());
        let ticker = start(&lane.driver, async move {
            while !ended.get() {
                sleep(&clock, 1_000).await;
                ticked.set(ticked.get() + 1);
            }
        });
        let (result, _) = disk.write_at(&file, 0, vec![1; 64 * 1024 * 1024]).await;
        result.expect("there is room");
        let during_write = ticks.get();
        disk.sync(&file).await.expect("it can be synced");
        let during_both = ticks.get();
        done.set(true);
        ticker.await;
        assert!(
            during_both > 0,
            "the lane stood still: {during_write} ticks in the write, {during_both} with the sync"
        );
    });
}
