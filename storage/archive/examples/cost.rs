//! What the archive costs by itself, without lanes or sockets: an order written, an absent key, a read, a list, a start.
//!
//! `cargo run --release -p orderlane-archive --example cost -- DIR [MILLIONS]` writes to DIR, which must not exist, and says so in
//! about fifteen seconds a million. Reads are timed one by one; "cold" is after the page cache was dropped, which takes root.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement: it reads clocks and prints")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use orderlane_archive::limits::{CUT_ORDERS, WINDOW_ORDERS};
use orderlane_archive::{
    Archive, ArchiveOptions, FjallStore, Progress, Query, Retention, Run, RunOrder, RunShard, customer_hash, key_hash,
};
use orderlane_core::{
    Archived, DraftLine, ListQuery, OrderBody, OrderDraft, OrderId, OrderRecord, Reader, ShardId, Status, Time,
};

const SHARDS: u16 = 64;
const LANES: u16 = 2;
const RUN: usize = CUT_ORDERS as usize;
const CUSTOMERS: u64 = 1_000_000;
const READS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: cost DIR [MILLIONS]")?;
    let orders = args.next().map_or(Ok(10), |millions| millions.parse::<u64>())? * 1_000_000;
    let path = Path::new(&path);
    std::fs::create_dir(path)?;
    let mut archive = open(path)?;
    archive.check(&(0..SHARDS).map(|shard| (ShardId(shard), 0, Archived::default())).collect::<Vec<_>>())?;

    let mut cpu = Duration::ZERO;
    let mut ended = vec![Vec::new(); usize::from(LANES)];
    for number in 0..orders {
        let lane = usize::from(id_of(number).shard().0 % LANES);
        ended[lane].push(number);
        if ended[lane].len() == RUN || number + 1 == orders {
            let run = run_of(lane as u16, number, &std::mem::take(&mut ended[lane]));
            let before = cpu_used()?;
            archive.begin(run);
            while archive.step()? != Progress::Idle {}
            cpu += cpu_used()? - before;
        }
    }
    let figures = archive.figures();
    println!("orders {}, windows {}, runs {}", figures.orders, figures.windows, figures.runs);
    println!("write: {:.2} us of CPU an order", cpu.as_secs_f64() * 1e6 / figures.orders as f64);
    println!("filters: {:.1} bytes an order", figures.filter_bytes as f64 / figures.orders as f64);

    let filters: Vec<_> = (0..SHARDS).map(|shard| archive.filters(ShardId(shard))).collect();
    let absent: Vec<_> = (0..READS).map(|n| body(orders + n)).collect();
    let begun = Instant::now();
    let asked = absent.iter().filter(|body| filters[usize::from(home(body).0)].may_have_key(key_hash(body.scope())));
    let asked = asked.count();
    let micros = begun.elapsed().as_secs_f64() * 1e6;
    println!("1,000 absent keys: {:.3} ms; asked for in vain {asked} of {READS}", micros / READS as f64);
    drop(filters);

    drop(archive);
    let dropped = std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok();
    let begun = Instant::now();
    let archive = open(path)?;
    println!("open: {:.2} s{}", begun.elapsed().as_secs_f64(), if dropped { ", cold" } else { "" });
    let names = [if dropped { "cold" } else { "first" }, "warm", "warm"];
    for (round, name) in (0..).zip(names) {
        // The second round reads what the first one has read.
        let picked = (0..READS / 10).map(|n| mix(n + 1_000_000 * u64::from(round == 2)) % (orders - orders / 8));
        get(&archive, name, picked.clone())?;
        list(&archive, name, picked)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<Archive<FjallStore>, Box<dyn Error>> {
    let most = u64::MAX;
    let retention = Retention {
        key_micros: 1 << 50,
        keys_max: most,
        order_micros: 1 << 50,
        order_bytes_max: most,
        audit_dir: None,
    };
    let options = ArchiveOptions { directory: 7, shards: SHARDS, retention, window_orders: WINDOW_ORDERS };
    Ok(Archive::open(FjallStore::open(path)?, options)?)
}

fn get(archive: &Archive<FjallStore>, name: &str, numbers: impl Iterator<Item = u64>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for number in numbers {
        let order = id_of(number);
        let begun = Instant::now();
        let found = archive.read(&Query::Order(order), Time(1 << 40))?;
        times.push(begun.elapsed());
        assert!(found.is_some(), "order {order} is there");
    }
    print(&format!("GET {name}"), times);
    Ok(())
}

fn list(archive: &Archive<FjallStore>, name: &str, numbers: impl Iterator<Item = u64>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for number in numbers {
        let customer = customer_of(number);
        let query = Box::new(ListQuery {
            reader: Reader::Admin,
            customer: Some(customer.as_str().into()),
            status: None,
            before: None,
            limit: 50,
        });
        let shard = ShardId::of(&customer, SHARDS);
        assert!(archive.filters(shard).may_have_customer(customer_hash(customer.as_bytes())), "{customer} has orders");
        let begun = Instant::now();
        let found = archive.read(&Query::List { shard, query }, Time(1 << 40))?;
        times.push(begun.elapsed());
        assert!(found.is_some(), "{customer} has a page");
    }
    print(&format!("newest 50 of a customer, {name}"), times);
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let micros = |of: usize| times[times.len() * of / 1000].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.1} us, p99 {:.1} us", micros(500), micros(990));
}

/// The CPU time of the process, in ticks of 10 ms.
fn cpu_used() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat[stat.rfind(')').ok_or("no name")? + 2..].split(' ').collect();
    Ok(Duration::from_millis(10 * (fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)))
}

/// As a lane makes it.
fn run_of(lane: u16, sequence: u64, numbers: &[u64]) -> Run {
    let mut made = Run { lane, ..Run::default() };
    let mut bytes = Vec::new();
    for number in numbers.iter().copied() {
        let record = OrderRecord::for_tests(Status::Completed, Time(number), Time(number + 30_000), &body(number));
        let order = id_of(number);
        let (start, length) = (bytes.len() as u32, record.as_bytes().len() as u32);
        bytes.extend_from_slice(record.as_bytes());
        made.orders.push(RunOrder { shard: order.shard(), number: order.number(), part: 0, start, length });
    }
    made.parts.push(bytes);
    let shard = |shard| RunShard { shard: ShardId(shard), sequence, recalled: Archived::default() };
    made.shards = (0..SHARDS).filter(|shard| shard % LANES == lane).map(shard).collect();
    made
}

/// Orders are numbered in the shard of their customer; here all numbers are the orders' own, with holes.
fn id_of(number: u64) -> OrderId {
    OrderId::new(ShardId::of(&customer_of(number), SHARDS), number)
}

fn home(body: &OrderBody) -> ShardId {
    ShardId::of(body.customer(), SHARDS)
}

/// Some customers order much more than others.
fn customer_of(number: u64) -> String {
    let (a, b) = (mix(number) % CUSTOMERS, mix(number ^ 1 << 40) % CUSTOMERS);
    format!("customer-{}", a * b / CUSTOMERS)
}

fn body(number: u64) -> OrderBody {
    let lines = [DraftLine { sku: "sku-000123", quantity: 1 }, DraftLine { sku: "sku-004567", quantity: 2 }];
    let (customer, key) = (customer_of(number), format!("key-{:016x}", mix(number)));
    let draft = OrderDraft {
        subject: "alice",
        customer: &customer,
        key: &key,
        currency: None,
        total_expected: None,
        token: "tok_ok",
        email: None,
        reference: None,
        metadata: &[],
        lines: &lines,
    };
    OrderBody::encode(&draft, SHARDS)
}

fn mix(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
