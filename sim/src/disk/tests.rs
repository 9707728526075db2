//! The model of a disk, held to what is said of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use orderlane_archive::Store;
use orderlane_journal::Directory;
use orderlane_lane::Disk;

use super::*;
use crate::faults::{Fault, FaultSet};
use crate::options::Options;
use crate::random::Random;

const LANE: Group = Group(1);
const NAME: &str = "r000001-l00-s000000.seg";
const OTHER: &str = "r000001-l00-s000001.seg";

fn sim(seed: u64, faults: &[Fault]) -> Sim {
    let faults = faults.iter().fold(FaultSet::default(), |set, fault| set.with(*fault));
    Sim::new(Options { faults, ..Options::draw(seed) }, false)
}

/// Runs the world until the task has ended.
fn run<T: 'static>(sim: &Sim, task: impl Future<Output = T> + 'static) -> T {
    let result = Rc::new(RefCell::new(None));
    let slot = result.clone();
    sim.executor().spawn(LANE, async move { *slot.borrow_mut() = Some(task.await) });
    while result.borrow().is_none() {
        assert!(sim.executor().step(), "the task never ends");
    }
    result.take().expect("the task has ended")
}

/// Starts both at the same moment.
async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut a, mut b) = (None, None);
    poll_fn(|cx| {
        if a.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(cx)
        {
            a = Some(value);
        }
        if b.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(cx)
        {
            b = Some(value);
        }
        if a.is_some() && b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (a.expect("both are ready"), b.expect("both are ready"))
}

/// A file of 16 sectors of zeros, durable under its name.
async fn durable_file(handle: DiskHandle, name: &'static str) -> SimFile {
    let file = handle.create(name).await.expect("made");
    handle.write_at(&file, 0, vec![0; 8192]).await.0.expect("written");
    handle.sync(&file).await.expect("synced");
    handle.sync_directory().await.expect("synced");
    file
}

fn block(byte: u8) -> Vec<u8> {
    vec![byte; 4096]
}

fn blocks(disk: &SimDisk, name: &str) -> (u8, u8) {
    let bytes = &disk.image()[name];
    (bytes[0], bytes[4096])
}

#[test]
fn trap_25_a_sync_covers_exactly_the_writes_that_were_complete_when_it_was_submitted() {
    let sim = sim(1, &[]);
    let disk = SimDisk::new(&sim);
    let handle = disk.handle(LANE);
    run(&sim, async move {
        let file = durable_file(handle.clone(), NAME).await;
        handle.write_at(&file, 0, block(1)).await.0.expect("written");
        let (write, sync) = both(handle.write_at(&file, 4096, block(2)), handle.sync(&file)).await;
        write.0.and(sync).expect("nothing fails");
    });
    assert_eq!(blocks(&disk, NAME), (1, 2), "readers see both");
    disk.crash(Crash::Power);
    assert_eq!(blocks(&disk, NAME), (1, 0));
}

#[test]
fn trap_27_a_name_is_the_old_or_the_new_one_until_its_directory_is_synced() {
    let mut seen = [0; 2];
    for seed in 0..40 {
        let sim = sim(seed, &[Fault::NamesLost]);
        let disk = SimDisk::new(&sim);
        let handle = disk.handle(LANE);
        run(&sim, async move {
            durable_file(handle.clone(), "new").await;
            handle.rename("new", NAME).await.expect("renamed");
        });
        disk.crash(Crash::Power);
        let names: Vec<String> = disk.image().into_keys().collect();
        assert!(names == ["new"] || names == [NAME], "{names:?}");
        seen[usize::from(names == [NAME])] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn trap_23_what_a_failed_sync_lost_is_visible_and_no_later_sync_makes_it_durable() {
    let sim = sim(3, &[Fault::SyncError]);
    let disk = SimDisk::new(&sim);
    let handle = disk.handle(LANE);
    let (kept, lost) = run(&sim, async move {
        let file = handle.create(NAME).await.expect("made");
        while handle.sync_directory().await.is_err() {}
        handle.write_at(&file, 0, vec![0; 8192]).await.0.expect("written");
        let (mut kept, mut next) = (0, 1);
        loop {
            handle.write_at(&file, 0, block(next)).await.0.expect("written");
            if handle.sync(&file).await.is_err() {
                break;
            }
            (kept, next) = (next, next % 200 + 1);
        }
        handle.write_at(&file, 4096, block(2)).await.0.expect("written");
        handle.sync(&file).await.expect("nothing is dirty but the second block");
        (kept, next)
    });
    assert_eq!(blocks(&disk, NAME), (lost, 2));
    disk.crash(Crash::Power);
    assert_eq!(blocks(&disk, NAME), (kept, 2));
    let (injected, observed) = sim.faults().counts()[Fault::SyncError as usize];
    assert!(injected == observed && injected > 0);
}

#[test]
fn handles_of_a_dead_process_change_nothing() {
    let sim = sim(4, &[]);
    let disk = SimDisk::new(&sim);
    let handle = disk.handle(LANE);
    let file = run(&sim, durable_file(handle.clone(), NAME));
    let write = {
        let (handle, file) = (handle.clone(), file.clone());
        async move { drop(handle.write_at(&file, 0, block(1)).await) }
    };
    sim.executor().spawn(LANE, write);
    let before = disk.operations();
    while disk.operations() == before {
        assert!(sim.executor().step());
    }
    disk.crash(Crash::Kill);
    let image = disk.image();
    sim.executor().spawn(LANE, async move {
        handle.write_at(&file, 4096, block(2)).await.0.expect("never");
        panic!("an operation of a dead process has ended");
    });
    while sim.executor().step() {}
    assert_eq!(disk.image(), image);
}

#[test]
fn what_a_killed_process_wrote_stays_and_is_durable_only_when_the_next_one_has_synced_it() {
    for synced in [false, true] {
        let sim = sim(5, &[]);
        let disk = SimDisk::new(&sim);
        let handle = disk.handle(LANE);
        run(&sim, async move {
            let file = durable_file(handle.clone(), NAME).await;
            handle.write_at(&file, 0, block(1)).await.0.expect("written");
        });
        disk.crash(Crash::Kill);
        assert_eq!(blocks(&disk, NAME), (1, 0));
        if synced {
            disk.directory().sync(NAME).expect("synced");
        }
        disk.crash(Crash::Power);
        assert_eq!(blocks(&disk, NAME), (u8::from(synced), 0));
    }
}

/// Any faults, a crash, and what is left of it.
fn chaos(seed: u64) -> (u64, BTreeMap<String, Vec<u8>>) {
    let sim = sim(seed, Fault::ALL);
    let disk = SimDisk::new(&sim);
    for round in 0..4_u64 {
        let handle = disk.handle(LANE);
        run(&sim, async move {
            for (name, nth) in [("a", 0_u64), ("b", 1)] {
                let name = format!("{name}{round}");
                let Ok(file) = handle.create(&name).await else { continue };
                for offset in 0..8 {
                    drop(handle.write_at(&file, (offset + nth) * 4096, block(offset as u8 + 1)).await);
                    if offset % 3 == 0 {
                        drop(handle.sync(&file).await);
                    }
                }
                drop(handle.rename(&name, NAME).await);
            }
        });
        disk.crash(if round % 2 == 0 { Crash::Kill } else { Crash::Power });
    }
    (sim.trace().digest(), disk.image())
}

#[test]
fn the_same_seed_leaves_the_same_bytes() {
    assert_eq!(chaos(6), chaos(6));
    assert_ne!(chaos(6).0, chaos(7).0);
}

#[test]
fn each_policy_does_what_it_says_to_every_unsynced_write() {
    let mut index = 0;
    for policy in Policy::ALL {
        let sim = sim(8, &[]);
        let disk = SimDisk::new(&sim);
        let handle = disk.handle(LANE);
        let file = run(&sim, durable_file(handle.clone(), NAME));
        run(&sim, {
            let (handle, file) = (handle.clone(), file.clone());
            async move { handle.write_at(&file, 0, block(1)).await.0.expect("written") }
        });
        index = disk.operations();
        disk.crash_at(index);
        sim.executor().spawn(LANE, async move { drop(handle.write_at(&file, 4096, block(2)).await) });
        while sim.executor().step() {}
        assert!(disk.crashed() && disk.operations() == index + 1);
        disk.crash_with(policy);
        assert!(!disk.crashed());
        let bytes = &disk.image()[NAME];
        let at = |offset: usize| bytes[offset];
        match policy {
            Policy::Keep => assert_eq!([at(0), at(4096)], [1, 2]),
            Policy::Drop => assert_eq!([at(0), at(4096)], [0, 0]),
            Policy::Tear => assert_eq!([at(2047), at(2048), at(4096), at(8191)], [1, 0, 2, 0]),
            Policy::Trash => assert!(bytes[..4096] != block(1) && bytes[4096..] != block(2)),
            Policy::Reorder => assert_eq!([at(0), at(4096)], [0, 2]),
        }
    }
    assert_eq!(index, 5);
}

#[test]
fn a_wrong_read_is_told_and_the_next_start_reads_right() {
    let mut met = [0; 3];
    for seed in 0..200 {
        let sim = sim(seed, &[Fault::ReadError, Fault::StaleRead, Fault::MisdirectedRead]);
        let disk = SimDisk::new(&sim);
        let handle = disk.handle(LANE);
        run(&sim, async move {
            durable_file(handle.clone(), OTHER).await;
            let file = durable_file(handle.clone(), NAME).await;
            handle.write_at(&file, 0, block(1)).await.0.expect("written");
            handle.sync(&file).await.expect("synced");
        });
        disk.crash(Crash::Kill);
        let directory = disk.directory();
        let right = disk.image()[NAME].clone();
        for _ in 0..10 {
            let mut bytes = Vec::new();
            let before = directory.faults_met().len();
            let result: io::Result<()> = directory.read(NAME, 0, usize::MAX, &mut bytes);
            let faults = &directory.faults_met()[before..];
            assert_eq!(faults.is_empty(), result.is_ok() && bytes == right);
            for fault in faults {
                let index = [Fault::ReadError, Fault::StaleRead, Fault::MisdirectedRead];
                met[index.iter().position(|kind| *kind == fault.fault).expect("one of them")] += 1;
            }
        }
        assert_eq!(disk.directory().faults_met(), [], "another start");
    }
    assert!(met.iter().all(|count| *count > 0), "{met:?}");
}

#[test]
fn a_start_can_be_stopped_and_rot_can_be_restored() {
    let sim = sim(9, &[Fault::BitRot]);
    let disk = SimDisk::new(&sim);
    let file = disk.handle(LANE);
    run(&sim, durable_file(file, NAME));
    disk.crash(Crash::Kill);
    let image = disk.image();
    let mut random = Random::new(1);
    let rot = (0..100).find_map(|_| disk.rot(&mut random)).expect("there is a segment");
    assert_eq!(disk.image()[&rot.name][rot.offset as usize], image[&rot.name][rot.offset as usize] ^ 1 << rot.bit);
    disk.unrot();
    assert_eq!(disk.image(), image);
    let directory = disk.directory();
    disk.crash_at_start(2);
    assert!(directory.names().is_ok() && !disk.crashed());
    assert!(directory.sync(NAME).is_err() && disk.crashed());
    assert!(directory.names().is_err(), "nothing goes on");
    disk.crash(Crash::Power);
    assert!(directory.names().is_err(), "the process is dead");
    assert!(disk.directory().names().is_ok());
}

#[test]
fn what_the_keeper_appends_and_renames_is_uncertain_until_it_is_synced() {
    let (mut lengths, mut names) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..60 {
        let sim = sim(seed, &[Fault::CrashKeep, Fault::CrashDrop, Fault::NamesLost]);
        let disk = SimDisk::new(&sim);
        let keeper = disk.keeper_directory();
        keeper.create("a.tmp").expect("made");
        keeper.append("a.tmp", &[1; 600]).expect("written");
        keeper.sync("a.tmp").expect("synced");
        keeper.sync_names().expect("synced");
        keeper.append("a.tmp", &[2; 600]).expect("written");
        keeper.rename("a.tmp", "a.ckp").expect("renamed");
        assert_eq!(disk.durable_image()["a.tmp"], [1; 600]);
        disk.crash(Crash::Power);
        assert!(keeper.append("a.ckp", &[3]).is_err(), "the process is dead");
        let (name, bytes) = disk.image().pop_first().expect("a file");
        names.insert(name);
        lengths.insert(bytes.len());
    }
    assert_eq!((lengths.len(), names.len()), (2, 2), "{lengths:?} {names:?}");
}

#[test]
fn a_change_of_the_archive_at_which_the_machine_stops_happened_or_not() {
    let mut seen = [0; 2];
    for seed in 0..40 {
        let sim = sim(seed, &[]);
        let disk = SimDisk::new(&sim);
        let mut store = disk.store(disk.keeper_directory());
        store.set_meta(&[(b"k".to_vec(), Some(b"v".to_vec()))]).expect("set");
        disk.crash_at(disk.operations());
        let ingested = store.ingest("orders-0", &mut |put| {
            put(b"a", b"1")?;
            put(b"b", b"2")
        });
        assert!(ingested.is_err() && disk.crashed());
        assert!(store.get("meta", b"k").is_err(), "nothing goes on");
        disk.crash(Crash::Power);
        let store = disk.store(disk.directory());
        assert_eq!(store.get("meta", b"k").expect("read"), Some(b"v".to_vec()));
        let mut keys = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            true
        };
        store.scan("orders-0", b"a", b"z", true, &mut visit).expect("read");
        assert!(keys.is_empty() || keys == [b"b".to_vec(), b"a".to_vec()], "{keys:?}");
        seen[usize::from(!keys.is_empty())] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn a_disk_that_others_have_filled_tells_when_the_engine_fills_it_up() {
    let sim = sim(1, &[]);
    let disk = SimDisk::new(&sim);
    disk.leave_room(Some(1_000));
    let keeper = disk.keeper_directory();
    keeper.create("a").expect("made");
    keeper.append("a", &[1; 900]).expect("there is room");
    assert_eq!((disk.room().free, disk.room().used), (100, 900));
    assert!(keeper.append("a", &[1; 101]).is_err());
    assert_eq!(sim.violation().expect("told").invariant, "room-left");
}

#[test]
fn a_recycled_segment_has_its_old_bytes_again_when_the_power_goes_before_the_sync() {
    let sim = sim(2, &[]);
    let disk = SimDisk::new(&sim);
    let handle = disk.handle(LANE);
    run(&sim, async move {
        let file = durable_file(handle.clone(), OTHER).await;
        handle.write_at(&file, 0, block(7)).await.0.expect("written");
        handle.sync(&file).await.expect("synced");
        handle.rename(OTHER, NAME).await.expect("renamed");
        handle.sync_directory().await.expect("synced");
        let again = handle.open(NAME).await.expect("there");
        handle.write_at(&again, 0, block(0)).await.0.expect("written");
        durable_file(handle.clone(), OTHER).await;
        handle.remove(OTHER).await.expect("removed");
        assert!(handle.open(OTHER).await.is_err(), "it is gone");
    });
    assert_eq!(disk.image().keys().collect::<Vec<_>>(), [NAME]);
    disk.crash(Crash::Power);
    assert_eq!(blocks(&disk, NAME), (7, 0));
}
