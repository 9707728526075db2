//! The keeper over a directory and a store in memory; the power goes before, in or behind every operation of both.
#![allow(missing_docs, unreachable_pub)]

mod lanes;
mod power;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use orderlane_archive::*;
use orderlane_core::{
    Archived, Cold, CutEnd, CutPart, DraftLine, EndedOrder, OrderBody, OrderDraft, OrderId, OrderRecord, ShardId,
    Status, Time,
};
use orderlane_lane::{ArchiveMetrics, Wake};
use tempfile::TempDir;

use power::{Dice, MemoryDirectory, Power, PoweredStore};

const OWNER: Owner = Owner { directory: 77 << 90, shards: 2 };
const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];
const OLD: [&str; 2] = ["r000001-l00-s000000.seg", "r000001-l00-s000001.seg"];

struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

struct Room;

impl Space for Room {
    fn measure(&self) -> io::Result<DiskSpace> {
        Ok(DiskSpace { free: 1 << 40, used: 0 })
    }
}

struct World {
    home: TempDir,
    dice: Dice,
    power: Power,
    directory: MemoryDirectory,
    store: Rc<RefCell<MemoryStore>>,
}

struct Bench {
    keeper: Keeper<PoweredStore, MemoryDirectory>,
    lane: Receiver<FromKeeper>,
    to_keeper: Sender<ToKeeper>,
    metrics: Arc<ArchiveMetrics>,
}

impl World {
    fn new(seed: u64) -> World {
        let home = TempDir::new().expect("a directory for the test");
        let dice = Dice::new(seed);
        let power = Power::new(&dice);
        let directory = MemoryDirectory::new(home.path(), &power);
        World { home, dice, power, directory, store: Rc::default() }
    }

    /// What is left when the power is there again.
    fn crash(&mut self) {
        self.power = Power::new(&self.dice);
        self.directory = self.directory.crash(&self.dice, &self.power);
        let disk = self.store.borrow().clone();
        self.store = Rc::new(RefCell::new(disk));
    }

    fn load(&self) -> Checkpoints<MemoryDirectory> {
        Checkpoints::load(self.directory.clone(), OWNER).expect("loaded")
    }

    fn open(&self) -> Archive<PoweredStore> {
        let retention = Retention {
            key_micros: 1 << 40,
            keys_max: u64::MAX,
            order_micros: 1 << 40,
            order_bytes_max: u64::MAX,
            audit_dir: None,
        };
        let options = ArchiveOptions { directory: OWNER.directory, shards: OWNER.shards, retention, window_orders: 4 };
        Archive::open(PoweredStore { disk: self.store.clone(), power: self.power.clone() }, options).expect("opened")
    }

    /// As a start does: the archive is checked against the newest checkpoint of every shard.
    fn start(&self, run: u32, names: &[&str]) -> Bench {
        let checkpoints = self.load();
        let chosen = SHARDS.map(|shard| {
            let cut = checkpoints.newest(shard).map_or(0, |newest| newest.cut);
            (shard, 10 * cut, sums_upto(cut, shard))
        });
        let mut archive = self.open();
        archive.check(&chosen).expect("the archive has what the checkpoints leave out");
        let ((sender, lane), (to_keeper, receiver)) = (channel(), channel());
        let metrics = Arc::<ArchiveMetrics>::default();
        let keeper = Keeper::new(KeeperOptions {
            archive,
            checkpoints,
            run,
            receiver,
            lanes: vec![LaneLink { sender, wake: Arc::new(Asleep), shards: SHARDS.to_vec() }],
            old_segments: OldSegments {
                names: names.iter().map(ToString::to_string).collect(),
                starts: SHARDS.map(|shard| (shard, 10)).to_vec(),
            },
            disk: DiskLimits::default(),
            space: Box::new(Room),
            metrics: metrics.clone(),
        });
        Bench { keeper, lane, to_keeper, metrics }
    }
}

/// The order that ends before a cut.
fn record(cut: u64, shard: ShardId) -> OrderRecord {
    let (customer, key) = (format!("c-{shard}"), format!("k-{cut}"));
    let draft = OrderDraft {
        subject: "alice",
        customer: &customer,
        key: &key,
        currency: None,
        total_expected: None,
        token: "tok",
        email: None,
        reference: None,
        metadata: &[],
        lines: &[DraftLine { sku: "sku-1", quantity: 1 }],
    };
    OrderRecord::for_tests(Status::Rejected, Time(cut), Time(cut + 1), &OrderBody::encode(&draft, OWNER.shards))
}

fn sums_upto(cut: u64, shard: ShardId) -> Archived {
    let mut sums = Archived::default();
    (1..=cut).for_each(|cut| sums.add(&record(cut, shard).sums(OrderId::new(shard, cut))));
    sums
}

fn image(cut: u64, shard: ShardId) -> Vec<u8> {
    format!("cut {cut} of shard {shard} ").into_bytes().repeat(40)
}

impl Bench {
    /// Cut number `cut` at sequence `10 * cut`: it has one ended order a shard, of that number.
    fn send(&self, cut: u64) {
        let send = |message| self.to_keeper.send(message).expect("the keeper is there");
        send(ToKeeper::Begin { lane: 0, cut, shards: SHARDS.map(|shard| (shard, 10 * cut)).to_vec() });
        for shard in SHARDS {
            for (index, live) in image(cut, shard).chunks(300).enumerate() {
                let mut part = CutPart { live: live.to_vec(), ..CutPart::default() };
                if index == 1 {
                    let record = record(cut, shard);
                    part.ended.push(EndedOrder { number: cut, start: 1, length: record.as_bytes().len() as u32 });
                    part.ended_bytes = [&[9], record.as_bytes(), &[7]].concat();
                }
                send(ToKeeper::Part { lane: 0, shard, part });
            }
            let archived = sums_upto(cut, shard);
            let end = CutEnd { sequence: 10 * cut, archived, recalled: Archived::default() };
            send(ToKeeper::Shard { lane: 0, shard, end: Box::new(end) });
        }
        send(ToKeeper::Store { lane: 0, cut });
    }

    /// Cuts, each when the one before is stored, as a lane does.
    fn cuts(&mut self, cuts: std::ops::RangeInclusive<u64>) -> (Vec<u64>, bool) {
        let (mut all, mut any_failed) = (Vec::new(), false);
        for cut in cuts {
            self.send(cut);
            let (stored, failed) = self.run();
            any_failed |= failed;
            all.extend(stored);
        }
        (all, any_failed)
    }

    /// Until there is no more; the cuts that were stored, and whether the keeper has failed.
    fn run(&mut self) -> (Vec<u64>, bool) {
        let mut failed = false;
        loop {
            match self.keeper.step(Time(0)) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => failed = true,
            }
        }
        let stored = self.lane.try_iter().filter_map(|message| match message {
            FromKeeper::Stored { cut, covered, .. } => {
                let want = 10 * cut.saturating_sub(1);
                assert!(covered.iter().all(|(_, covered)| *covered <= want), "cut {cut}: {covered:?}");
                Some(cut)
            }
            _ => None,
        });
        (stored.collect(), failed)
    }
}

/// What must be true after the power has gone when cut `told` was the last one that a lane has heard of.
fn check_disk(world: &World, told: u64, what: &str) -> u64 {
    let found = world.load();
    let archive = world.open();
    let cuts = SHARDS.map(|shard| {
        let newest = found.newest(shard).map_or(0, |newest| {
            assert_eq!((newest.image, newest.sequence), (image(newest.cut, shard), 10 * newest.cut), "{what}");
            newest.cut
        });
        assert!(newest >= told, "{what}: cut {told} was stored, {newest} is found");
        assert!(found.covered(shard) >= 10 * told.saturating_sub(1), "{what}: the one before is there, too");
        for cut in 1..=newest {
            match archive.read(&Query::Order(OrderId::new(shard, cut)), Time(0)).expect("read") {
                Some(Cold::Order { record: stored, .. }) => assert_eq!(stored, record(cut, shard), "{what}"),
                other => panic!("{what}: order {cut} of shard {shard} is nowhere: {other:?}"),
            }
        }
        let old_are_there = OLD.iter().all(|name| world.directory.has(name));
        assert!(old_are_there || found.covered(shard) >= 10, "{what}: journal that a fall back needs is gone");
        newest
    });
    assert!(!world.directory.has(OLD[0]) || world.directory.has(OLD[1]), "{what}: a hole in the journal");
    assert!(found.warnings().is_empty(), "{what}: {:?}", found.warnings());
    assert_eq!(cuts[0], cuts[1], "{what}: one file has both");
    cuts[0]
}

#[test]
fn whenever_the_power_goes_a_stored_cut_is_found_and_the_archive_has_what_it_leaves_out() {
    let mut operations = 0;
    loop {
        let mut is_last = true;
        for seed in 0..12 {
            let mut world = World::new(operations << 8 | seed);
            OLD.iter().for_each(|name| world.directory.put(name, b"old"));
            let mut bench = world.start(2, &OLD);
            world.power.goes_after(operations);
            let (all, failed) = bench.cuts(1..=3);
            let told = all.last().copied().unwrap_or(0);
            world.crash();
            let what = format!("{operations} operations, seed {seed}");
            let newest = check_disk(&world, told, &what);
            // The next run goes on where the checkpoints are: what it does again is the same.
            let names: Vec<&str> = OLD.into_iter().filter(|name| world.directory.has(name)).collect();
            let mut bench = world.start(3, &names);
            let (all, failed_again) = bench.cuts(newest + 1..=newest + 3);
            assert!(!failed_again && all.len() == 3, "{what}");
            assert_eq!(world.directory.checkpoints().len(), 2, "{what}: two are kept");
            assert!(!OLD.iter().any(|name| world.directory.has(name)), "{what}: old journal is left");
            world.crash();
            assert_eq!(check_disk(&world, newest + 3, &what), newest + 3);
            // A run that no checkpoint knows of was stored twice.
            let orders = bench.metrics.orders.value();
            assert!((2 * (newest + 3)..=2 * (newest + 4)).contains(&orders), "{what}: {orders} orders");
            is_last &= !failed;
        }
        if is_last {
            break;
        }
        operations += 1;
    }
    assert!(operations > 40, "it went after each of {operations} operations");
}

#[test]
fn no_damage_of_the_newest_checkpoint_is_accepted_and_the_one_before_is_found() {
    let world = World::new(1);
    let mut bench = world.start(1, &[]);
    assert_eq!(bench.cuts(1..=2), (vec![1, 2], false));
    let name = CheckpointName { run: 1, lane: 0, cut: 2 }.to_string();
    let whole = world.directory.bytes(&name);
    let check = |bytes: &[u8], what: &str| {
        world.directory.put(&name, bytes);
        let found = world.load();
        let cuts = SHARDS.map(|shard| {
            let newest = found.newest(shard).expect("the one before is whole");
            assert_eq!(newest.image, image(newest.cut, shard), "{what}");
            newest.cut
        });
        assert!(cuts.contains(&1) && !found.warnings().is_empty(), "{what}: {cuts:?}");
        let fallen = SHARDS.into_iter().zip(cuts).filter(|(_, cut)| *cut == 1);
        fallen.for_each(|(shard, _)| assert_eq!(found.covered(shard), 0, "{what}: only one is whole"));
    };
    (0..whole.len()).for_each(|length| check(&whole[..length], &format!("{length} bytes")));
    let mut bytes = whole.clone();
    for byte in 0..whole.len() {
        bytes[byte] ^= 1 << (byte % 8);
        check(&bytes, &format!("bit {} of byte {byte}", byte % 8));
        bytes[byte] ^= 1 << (byte % 8);
    }
    bytes.push(0);
    check(&bytes, "one byte more");
    let before = CheckpointName { run: 1, lane: 0, cut: 1 }.to_string();
    check(&world.directory.bytes(&before), "another checkpoint's bytes");
}

#[test]
fn foreign_and_unknown_checkpoints_are_refused_by_name() {
    let world = World::new(1);
    let mut bench = world.start(1, &[]);
    bench.send(1);
    bench.run();
    let other = Owner { directory: 5, ..OWNER };
    let error = Checkpoints::load(world.directory.clone(), other).expect_err("another directory's").to_string();
    assert!(error.contains("checkpoint-00000001-0000-00000001.ckp") && error.contains("belongs to"), "{error}");
    world.directory.put("checkpoint-1.ckp", b"");
    let error = Checkpoints::load(world.directory.clone(), OWNER).expect_err("an unknown name").to_string();
    assert!(error.contains("checkpoint-1.ckp"), "{error}");
}

#[test]
fn reads_come_before_the_next_step_and_one_that_fails_is_not_absence() {
    let world = World::new(1);
    let mut bench = world.start(1, &[]);
    bench.cuts(1..=1);
    bench.send(2);
    let to_keeper = bench.to_keeper.clone();
    let ask = |number| {
        let queries = vec![(4, Query::Order(OrderId::new(SHARDS[0], number)))];
        to_keeper.send(ToKeeper::Read { lane: 0, queries }).expect("sent");
    };
    let found = |keeper: &mut Keeper<_, _>, now| {
        assert!(keeper.step(Time(now)).expect("the read"));
        match bench.lane.try_recv() {
            Ok(FromKeeper::Found(found)) => found,
            other => panic!("the answer comes first: {other:?}"),
        }
    };
    ask(1);
    assert!(matches!(found(&mut bench.keeper, 50)[..], [(4, Cold::Order { .. })]));
    ask(7);
    assert!(found(&mut bench.keeper, 60)[..].is_empty(), "no such order");
    world.power.goes_after(0);
    ask(1);
    assert!(matches!(found(&mut bench.keeper, 70)[..], [(4, Cold::Unavailable)]));
    bench.keeper.tick(Time(75));
    let read_micros = &bench.metrics.read_micros;
    assert_eq!((read_micros.counts().iter().sum::<u64>(), read_micros.sum()), (3, 25), "until the clock is seen");
    assert_eq!(bench.run(), (vec![], true));
    ask(1);
    assert!(bench.keeper.step(Time(80)).expect("a keeper that has failed answers, too"));
}

#[test]
fn a_backup_holds_all_lanes_and_has_what_was_written_when_they_were_held() {
    let world = World::new(1);
    let home = world.home.path();
    let mut bench = world.start(2, &[]);
    bench.cuts(1..=1);
    world.directory.write_out();
    let mut segment = vec![7; 5000];
    segment.resize(3 << 20, 0);
    std::fs::write(home.join("r000002-l00-s000000.seg"), &segment).expect("written");
    std::fs::create_dir_all(home.join("archive/keyspaces/1/tables")).expect("made");
    std::fs::write(home.join("archive/keyspaces/1/tables/4"), "table").expect("written");
    let outside = TempDir::new().expect("a directory for the test");
    let target = outside.path().join("copy");
    let (done, report) = channel();
    bench.keeper.request_backup(target.clone(), done);
    bench.run();
    assert!(report.try_recv().is_err() && !target.exists(), "the lane has not answered");
    bench.to_keeper.send(ToKeeper::Held { lane: 0 }).expect("sent");
    while !matches!(bench.lane.try_recv(), Ok(FromKeeper::Release)) {
        assert!(bench.keeper.step(Time(0)).expect("it works"));
    }
    let mut later = segment.clone();
    later[8192..8200].fill(1);
    std::fs::write(home.join("r000002-l00-s000000.seg"), later).expect("the lane goes on");
    bench.run();
    let report = report.try_recv().expect("done").expect("made");
    assert_eq!((report.files, report.bytes), (3, 5000));
    assert_eq!(std::fs::read(target.join("r000002-l00-s000000.seg")).expect("copied"), segment);
    assert_eq!(std::fs::read(target.join("archive/keyspaces/1/tables/4")).expect("copied"), b"table");
    let copy = Checkpoints::load(MemoryDirectory::read_in(&target, &world.power), OWNER).expect("whole");
    assert_eq!(copy.newest(SHARDS[1]).expect("there").image, image(1, SHARDS[1]));
}

#[test]
fn an_image_that_is_longer_than_what_is_read_at_once_comes_back() {
    let world = World::new(1);
    let mut bench = world.start(1, &[]);
    let long: Vec<u8> = (0..9_000_000_u32).map(|index| (index % 251) as u8).collect();
    let send = |message| bench.to_keeper.send(message).expect("the keeper is there");
    send(ToKeeper::Begin { lane: 0, cut: 1, shards: SHARDS.map(|shard| (shard, 10)).to_vec() });
    for shard in SHARDS {
        for live in long.chunks(1_300_000) {
            send(ToKeeper::Part { lane: 0, shard, part: CutPart { live: live.to_vec(), ..CutPart::default() } });
        }
        let end = CutEnd { sequence: 10, archived: Archived::default(), recalled: Archived::default() };
        send(ToKeeper::Shard { lane: 0, shard, end: Box::new(end) });
    }
    send(ToKeeper::Store { lane: 0, cut: 1 });
    assert_eq!(bench.run(), (vec![1], false));
    let found = world.load();
    SHARDS.iter().for_each(|shard| assert!(found.newest(*shard).expect("there").image == long));
    assert!(found.bytes(&SHARDS) == 18_000_000 && found.warnings().is_empty());
    assert_eq!(bench.metrics.checkpoint_bytes.value(), 18_000_000);
}
