//! The archive against a naive one, with crashes between any two operations of its store.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod world;

use orderlane_archive::*;
use orderlane_core::*;
use world::*;

/// Runs of a world into a store that is opened again now and then.
fn many_runs<S: Store>(
    seed: u64,
    runs: u64,
    compare_every: u64,
    mut open: impl FnMut(Option<Archive<S>>) -> Archive<S>,
) {
    let mut world = World::new(seed);
    let mut archive = open(None);
    archive.check(&world.checkpoint()).unwrap();
    let mut dropped = false;
    for turn in 0..runs {
        let orders = world.random.below(3_000 / runs);
        world.live(orders);
        let taken = world.cut();
        archive.begin(world.run(&taken));
        assert!(finish(&mut archive).unwrap());
        world.stored(taken);
        let before = archive.figures();
        archive.retain(Time(world.now));
        finish(&mut archive).unwrap();
        dropped |= archive.figures().windows < before.windows;
        if turn % compare_every == 0 {
            world.compare(&archive);
        }
        if turn % 4 == 3 {
            let figures = archive.figures();
            archive = open(Some(archive));
            archive.check(&world.checkpoint()).unwrap();
            assert_eq!(archive.figures(), figures);
        }
    }
    assert!(archive.figures().windows > 1 && archive.figures().runs == runs && dropped, "the world was too small");
    world.now += 10 * ORDER_MICROS;
    archive.retain(Time(world.now));
    finish(&mut archive).unwrap();
    let empty = ArchiveFigures { runs, ..ArchiveFigures::default() };
    assert_eq!(archive.figures(), empty);
    assert_eq!(archive.store().keyspaces().unwrap(), [META]);
    world.compare(&archive);
    // What is gone still counts.
    archive = open(Some(archive));
    archive.check(&world.checkpoint()).unwrap();
}

#[test]
fn reads_agree_with_a_naive_archive_in_memory() {
    for seed in 0..6 {
        many_runs(seed, 60, 1, |archive: Option<Archive<MemoryStore>>| {
            let disk = archive.map(|archive| archive.store().clone()).unwrap_or_default();
            Archive::open(disk, options(40 + 60 * (seed % 3))).unwrap()
        });
    }
}

#[test]
fn reads_agree_with_a_naive_archive_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    many_runs(77, 20, 6, |archive| {
        drop(archive);
        Archive::open(FjallStore::open(&directory.path().join("archive")).unwrap(), options(150)).unwrap()
    });
}

/// Whatever operation is the last one before the end: what was reported stored is there, and the same run can come again.
#[test]
fn a_crash_after_any_operation_loses_nothing_that_was_stored() {
    let mut crashes = 0;
    for budget in 1..90 {
        let mut world = World::new(budget);
        let mut archive = Archive::open(Failing { left: (1 << 40).into(), ..Failing::default() }, options(30)).unwrap();
        let mut checkpoint = world.checkpoint();
        archive.check(&checkpoint).unwrap();
        for turn in 0..16 {
            world.live(12);
            let taken = world.cut();
            archive = reopened(archive, budget % 13 + turn % 3, budget % 2 == 0);
            archive.check(&checkpoint).ok();
            let stored = loop {
                archive.begin(world.run(&taken));
                archive.retain(Time(world.now));
                let mut stored = false;
                let end = loop {
                    match archive.step() {
                        Ok(Progress::Idle) => break Ok(()),
                        Ok(Progress::More) => {}
                        Ok(Progress::Stored) => stored = true,
                        Err(error) => break Err(error),
                    }
                };
                if end.is_ok() || stored {
                    break end;
                }
                crashes += 1;
                assert!(matches!(archive.step(), Err(ArchiveError::Failed)));
                archive = reopened(archive, 1 << 40, false);
                archive.check(&checkpoint).unwrap();
                world.later();
            };
            crashes += u64::from(stored.is_err());
            world.stored(taken);
            checkpoint = world.checkpoint();
            archive = reopened(archive, 1 << 40, false);
            archive.check(&checkpoint).unwrap();
            world.compare(&archive);
        }
    }
    assert!(crashes > 500, "{crashes} crashes");
}

fn reopened(archive: Archive<Failing>, left: u64, last_has_effect: bool) -> Archive<Failing> {
    let disk = archive.store().disk.clone();
    Archive::open(Failing { disk, left: left.into(), last_has_effect }, options(30)).unwrap()
}

fn archive_of(orders: &[(u16, u64, OrderRecord)], sequence: Sequence) -> (Archive<MemoryStore>, Archived) {
    let mut archive = Archive::open(MemoryStore::default(), options(1_000_000)).unwrap();
    let mut sums = Archived::default();
    orders.iter().for_each(|(shard, number, record)| sums.add(&record.sums(OrderId::new(ShardId(*shard), *number))));
    archive.begin(run_of(&[(0, sequence, Archived::default())], orders));
    assert!(finish(&mut archive).unwrap());
    (archive, sums)
}

fn record(created: u64) -> OrderRecord {
    OrderRecord::for_tests(Status::Completed, Time(created), Time(created + 5), &body("c", &format!("k{created}"), "s"))
}

#[test]
fn a_missing_run_and_one_counted_twice_are_found() {
    let orders: Vec<_> = (0..5).map(|number| (0, number, record(number))).collect();
    let (mut archive, sums) = archive_of(&orders, 10);
    archive.check(&[(ShardId(0), 10, sums.clone())]).unwrap();
    // The checkpoint knows of more than there is.
    let mut more = sums.clone();
    more.add(&record(9).sums(OrderId::new(ShardId(0), 9)));
    assert!(matches!(archive.check(&[(ShardId(0), 12, more)]), Err(ArchiveError::Sums { shard: ShardId(0), .. })));
    // The same orders again, below the checkpoint.
    archive.begin(run_of(&[(0, 11, Archived::default())], &orders));
    finish(&mut archive).unwrap();
    assert!(matches!(archive.check(&[(ShardId(0), 11, sums.clone())]), Err(ArchiveError::Sums { .. })));
    // Above it they are an orphan, once forgotten never seen again.
    archive.check(&[(ShardId(0), 10, sums.clone())]).unwrap();
    let mut archive = Archive::open(archive.store().clone(), options(1_000_000)).unwrap();
    archive.check(&[(ShardId(0), 20, sums)]).unwrap();
    // Without a checkpoint every run is an orphan, and the archive as good as new.
    archive.check(&[]).unwrap();
    let mut archive = Archive::open(archive.store().clone(), options(1_000_000)).unwrap();
    archive.check(&[(ShardId(0), 20, Archived::default())]).unwrap();
}

#[test]
fn a_run_that_is_lost_is_missed_by_name() {
    let orders: Vec<_> = (0..4).map(|number| (0, number, record(number))).collect();
    let (archive, sums) = archive_of(&orders, 10);
    let mut disk = archive.store().clone();
    let mut runs = Vec::new();
    disk.scan(META, &[0], &[0xff], false, &mut |name, _| {
        runs.extend((name[0] == b'r').then(|| name.to_vec()));
        true
    })
    .unwrap();
    assert_eq!(runs.len(), 1);
    disk.set_meta(&[(runs.remove(0), None)]).unwrap();
    let mut archive = Archive::open(disk, options(1_000_000)).unwrap();
    match archive.check(&[(ShardId(0), 10, sums.clone())]) {
        Err(ArchiveError::Sums { shard: ShardId(0), archive, checkpoint }) => {
            assert_eq!((*archive, *checkpoint), (Archived::default(), sums));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_directory_version_or_shard_count_is_refused_by_name() {
    let (archive, _) = archive_of(&[], 1);
    let disk = archive.store().clone();
    let with = |change: &dyn Fn(&mut ArchiveOptions)| {
        let mut options = options(10);
        change(&mut options);
        Archive::open(disk.clone(), options).unwrap_err()
    };
    assert!(matches!(with(&|o| o.directory = 8), ArchiveError::OtherDirectory { archive: 7, directory: 8 }));
    assert!(matches!(with(&|o| o.shards = 4), ArchiveError::OtherShards { archive: 3, directory: 4 }));
    let mut other = disk.clone();
    let mut format = other.get(META, b"f").unwrap().unwrap();
    format[8] = 9;
    other.set_meta(&[(b"f".to_vec(), Some(format))]).unwrap();
    assert!(matches!(Archive::open(other, options(10)), Err(ArchiveError::Version(9))));
}

#[test]
fn a_page_looks_at_a_bounded_number_of_orders_and_says_so() {
    let orders: Vec<_> = (0..10_050).map(|number| (0, number, record(number))).collect();
    let (archive, _) = archive_of(&orders, 1);
    let query = |status, before| Query::List {
        shard: ShardId(0),
        query: Box::new(ListQuery { reader: Reader::Admin, customer: None, status, before, limit: 10 }),
    };
    let page = |query| match archive.read(&query, Time(0)).unwrap() {
        Some(Cold::Page(page)) => page,
        found => panic!("{found:?}"),
    };
    let first = page(query(Some(Status::Rejected), None));
    assert!(first.orders.is_empty());
    assert_eq!(first.reached, Some((Time(50), 50)));
    let rest = page(query(Some(Status::Rejected), Some((Time(50), OrderId::new(ShardId(0), 50)))));
    assert_eq!(rest.reached, None);
}

#[test]
fn orders_are_exported_before_they_go_and_caps_drop_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(4);
    options.retention.audit_dir = Some(directory.path().join("audit"));
    let mut archive = Archive::open(MemoryStore::default(), options.clone()).unwrap();
    for run in 0..3 {
        let orders: Vec<_> = (0..4).map(|n| (0, run * 4 + n, record(run * 4 + n))).collect();
        archive.begin(run_of(&[(0, run + 1, Archived::default())], &orders));
        finish(&mut archive).unwrap();
    }
    let bytes = archive.figures().bytes;
    options.retention.order_bytes_max = bytes - 1;
    options.retention.keys_max = 4;
    let mut archive = Archive::open(archive.store().clone(), options).unwrap();
    archive.retain(Time(20));
    finish(&mut archive).unwrap();
    let figures = archive.figures();
    assert_eq!((figures.windows, figures.orders, figures.keys), (2, 8, 4));
    assert_eq!(archive.dropped(ShardId(0)).orders.iter().sum::<u64>(), 4);
    let files: Vec<_> = std::fs::read_dir(directory.path().join("audit")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(text.lines().count(), 4);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with(r#"{"id":"o_0000000000000","subject":"s","customer":"c","key":"k0","status":"COMPLETED""#)
    );
    assert!(
        first.contains(
            r#""reference":"r\"1\\\n\u0001é","metadata":{"m":"v\""},"lines":[{"sku":"sku-1","quantity":1}]}"#
        ),
        "{first}"
    );
}

/// An order was called back and is archived again after a newer one under its key, into the same window or another one.
#[test]
fn the_newest_order_under_a_key_counts_not_the_one_archived_last() {
    let body = body("c", "k", "s");
    let record = |created| OrderRecord::for_tests(Status::Completed, Time(created), Time(created + 5), &body);
    let hash = key_hash(body.scope());
    for window in [1, 2, 100] {
        let mut archive = Archive::open(MemoryStore::default(), options(window)).unwrap();
        for (sequence, number, created) in [(1, 0, 0), (2, 1, 1_000), (3, 0, 0)] {
            archive.begin(run_of(&[(0, sequence, Archived::default())], &[(0, number, record(created))]));
            assert!(finish(&mut archive).unwrap());
        }
        match archive.read(&Query::Key { shard: ShardId(0), hash }, Time(1_010)).unwrap() {
            Some(Cold::Order { order, .. }) => assert_eq!(order.number(), 1, "windows of {window}"),
            found => panic!("windows of {window}: {found:?}"),
        }
    }
}
