//! A cut of a stock that goes on changing gives back the stock as it was.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::Stock;
use crate::digest::Digest;
use crate::event::{Adjustment, HoldLine, HoldLines, Product};
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::image::{Kind, Malformed, Reader};
use crate::limits::ADJUSTMENT_KEYS_MAX;

const SEED: u64 = 11;

/// What happens to a stock.
#[derive(Clone, Debug)]
enum Happening {
    Product(Product),
    Adjusted(Adjustment),
    Refused(Adjustment),
    Opened(Box<str>),
    Held(OrderId, HoldLines),
    Sold(OrderId),
    Released(OrderId),
    Returned(HoldLines),
    Tombstoned(OrderId, Time, Time),
}

fn apply(stock: &mut Stock, happening: &Happening) {
    match happening {
        Happening::Product(product) => stock.apply_product(product),
        Happening::Adjusted(adjustment) => stock.apply_adjustment(adjustment),
        Happening::Refused(adjustment) => stock.apply_refused_adjustment(adjustment),
        Happening::Opened(sku) => stock.apply_opening(sku, 50),
        Happening::Held(order, lines) => stock.apply_hold(*order, lines),
        Happening::Sold(order) => stock.apply_sale(*order),
        Happening::Released(order) => stock.apply_release(*order),
        Happening::Returned(lines) => stock.apply_return(lines),
        Happening::Tombstoned(order, until, now) => stock.apply_tombstone(*order, *until, *now),
    }
}

fn fold(happenings: &[Happening]) -> Stock {
    let mut stock = Stock::new(SEED);
    happenings.iter().for_each(|happening| apply(&mut stock, happening));
    stock
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Thinks up what may happen next to `stock`.
struct World {
    random: Random,
    open: Vec<OrderId>,
    sold: Vec<HoldLines>,
    numbers: u64,
}

impl World {
    fn new(seed: u64) -> World {
        World { random: Random(seed), open: Vec::new(), sold: Vec::new(), numbers: 0 }
    }

    fn next(&mut self, stock: &Stock) -> Happening {
        loop {
            if let Some(happening) = self.think(stock) {
                return happening;
            }
        }
    }

    fn think(&mut self, stock: &Stock) -> Option<Happening> {
        let kind = self.random.below(20);
        self.numbers += 1;
        let number = self.numbers;
        let order = OrderId::new(ShardId(self.random.below(3) as u16), number);
        match kind {
            0 | 1 => Some(Happening::Product(product(self.random.below(40), number))),
            2 => Some(Happening::Adjusted(adjustment(self.any_sku(stock)?, number, 5))),
            3 => Some(Happening::Refused(adjustment(self.any_sku(stock)?, number, -1000))),
            4 | 5 => {
                let sku = self.any_sku(stock)?;
                let is_new = stock.find(&sku).is_some_and(|item| item.units().is_none());
                is_new.then_some(Happening::Opened(sku))
            }
            6 => Some(Happening::Tombstoned(order, Time(number + 30), Time(number))),
            7 => (!self.sold.is_empty()).then(|| Happening::Returned(self.sold.pop().expect("not empty"))),
            8..14 => {
                let count = 1 + self.random.below(4);
                let skus = (0..count).map(|_| self.random.below(stock.items().len().max(1) as u64) as u32);
                let lines: HoldLines = skus.map(|sku| HoldLine { sku, quantity: 1 }).collect();
                let is_there =
                    |line: &HoldLine| stock.items().get(line.sku as usize).is_some_and(|item| item.units.available > 4);
                if !lines.iter().all(is_there) {
                    return None;
                }
                self.open.push(order);
                Some(Happening::Held(order, lines))
            }
            _ => {
                let count = self.open.len() as u64;
                let order = (count > 0).then(|| self.open.swap_remove(self.random.below(count) as usize))?;
                if self.random.below(2) == 0 {
                    return Some(Happening::Released(order));
                }
                self.sold.push(stock.hold_of(order)?.clone());
                Some(Happening::Sold(order))
            }
        }
    }

    fn any_sku(&mut self, stock: &Stock) -> Option<Box<str>> {
        let count = stock.items().len() as u64;
        (count > 0).then(|| stock.items()[self.random.below(count) as usize].product().sku)
    }
}

fn product(sku: u64, price: u64) -> Product {
    let currency = Currency::parse(if price.is_multiple_of(2) { "EUR" } else { "USD" }).expect("capitals");
    Product { sku: format!("sku-{sku}").into(), name: format!("no {price}").into(), unit_price: price, currency }
}

fn adjustment(sku: Box<str>, key: u64, delta: i64) -> Adjustment {
    Adjustment { subject: "who".into(), sku, key: format!("key-{key}").into(), delta, reason: "why".into() }
}

fn digest_of(stock: &Stock) -> u64 {
    let mut digest = Digest::new();
    stock.digest(&mut digest);
    digest.finish()
}

/// The whole cut at once.
fn image_of(stock: &mut Stock) -> Vec<u8> {
    let mut image = Vec::new();
    stock.begin_cut();
    assert!(stock.cut(usize::MAX, &mut image).1);
    image
}

fn entries(image: &[u8]) -> Vec<(Kind, &[u8])> {
    let (mut rest, mut entries) = (Reader(image), Vec::new());
    while !rest.is_empty() {
        let (kind, fields) = rest.entry().expect("whole");
        entries.push((kind, fields.0));
    }
    entries
}

fn sorted(image: &[u8]) -> Vec<(u8, &[u8])> {
    let mut sorted: Vec<_> = entries(image).into_iter().map(|(kind, fields)| (kind as u8, fields)).collect();
    sorted.sort_unstable();
    sorted
}

fn restored(mut image: Reader<'_>) -> Result<Stock, Malformed> {
    let mut stock = Stock::new(SEED);
    while !image.is_empty() {
        let (kind, fields) = image.entry()?;
        stock.restore(kind, fields)?;
    }
    stock.restored()?;
    Ok(stock)
}

#[test]
fn a_cut_is_the_moment_at_which_it_began() {
    for seed in 0..60 {
        let (mut world, mut live, mut happened) = (World::new(seed), Stock::new(SEED), Vec::new());
        for _ in 0..2 {
            let go_on = |world: &mut World, live: &mut Stock, happened: &mut Vec<_>, count| {
                for _ in 0..count {
                    let happening = world.next(live);
                    apply(live, &happening);
                    happened.push(happening);
                }
            };
            let count = world.random.below(300);
            go_on(&mut world, &mut live, &mut happened, count);
            let (begun_at, digest, sums) = (happened.len(), digest_of(&live), live.sums());
            live.begin_cut();
            let mut image = Vec::new();
            loop {
                let count = world.random.below(20);
                go_on(&mut world, &mut live, &mut happened, count);
                let count_max = 1 + world.random.below(6) as usize;
                let (looked, done) = live.cut(count_max, &mut image);
                if done {
                    break;
                }
                assert!(looked >= count_max, "seed {seed}: a slice that does too little");
            }
            let mut reference = fold(&happened[..begun_at]);
            assert_eq!(digest_of(&reference), digest, "seed {seed}");
            assert_eq!(sorted(&image), sorted(&image_of(&mut reference)), "seed {seed}: every byte");

            let mut back = restored(Reader(&image)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!((digest_of(&back), back.sums()), (digest, sums), "seed {seed}");
            happened[begun_at..].iter().for_each(|happening| apply(&mut back, happening));
            assert_eq!(digest_of(&back), digest_of(&live), "seed {seed}: it goes on as the live one did");
        }
    }
}

/// A stock of one item with ample units.
fn one_item() -> Stock {
    fold(&[Happening::Product(product(0, 2)), Happening::Opened("sku-0".into())])
}

fn order(number: u64) -> OrderId {
    OrderId::new(ShardId(0), number)
}

fn hold(stock: &mut Stock, number: u64) {
    stock.apply_hold(order(number), &[HoldLine { sku: 0, quantity: 1 }].into_iter().collect());
}

#[test]
fn a_place_that_is_filled_anew_is_not_taken_for_the_old_hold() {
    let mut live = one_item();
    (0..4).for_each(|number| hold(&mut live, number));
    live.apply_release(order(1));
    let digest = digest_of(&live);
    live.begin_cut();
    // Into the place that was empty; then into one that was full; then that one again.
    hold(&mut live, 10);
    live.apply_release(order(2));
    hold(&mut live, 11);
    live.apply_sale(order(11));
    hold(&mut live, 12);
    let mut image = Vec::new();
    while !live.cut(1, &mut image).1 {}
    let mut back = restored(Reader(&image)).expect("whole");
    assert_eq!(digest_of(&back), digest);
    assert!([0, 2, 3].into_iter().all(|number| back.hold_of(order(number)).is_some()));
    assert_eq!(back.holds().count(), 3);
    hold(&mut back, 1);
}

#[test]
fn the_oldest_adjustments_are_forgotten_also_during_a_cut() {
    let mut live = one_item();
    let adjust = |stock: &mut Stock, key| stock.apply_adjustment(&adjustment("sku-0".into(), key, 1));
    let knows = |stock: &Stock, key| stock.adjusted_before(&adjustment("sku-0".into(), key, 1)).is_some();
    let count_max = ADJUSTMENT_KEYS_MAX as u64;
    (0..count_max + 3).for_each(|key| adjust(&mut live, key));
    assert_eq!([2, 3, count_max + 2].map(|key| knows(&live, key)), [false, true, true]);
    let digest = digest_of(&live);
    live.begin_cut();
    let mut image = Vec::new();
    live.cut(3, &mut image);
    (0..10).for_each(|key| adjust(&mut live, count_max + 3 + key));
    adjust(&mut live, 3);
    assert_eq!([3, 13, 14, count_max].map(|key| knows(&live, key)), [true, false, true, true]);
    while !live.cut(10_000, &mut image).1 {}
    let mut back = restored(Reader(&image)).expect("whole");
    assert_eq!(digest_of(&back), digest);
    assert_eq!([2, 3, count_max + 2].map(|key| knows(&back, key)), [false, true, true]);
    (0..10).for_each(|key| adjust(&mut back, count_max + 3 + key));
    adjust(&mut back, 3);
    assert_eq!(digest_of(&back), digest_of(&live));
}

/// A small stock with every kind of entry.
fn small_image() -> Vec<u8> {
    let mut stock = one_item();
    stock.apply_product(&product(1, 3));
    stock.apply_adjustment(&adjustment("sku-0".into(), 1, 2));
    stock.apply_refused_adjustment(&adjustment("sku-1".into(), 2, -2));
    hold(&mut stock, 1);
    hold(&mut stock, 2);
    stock.apply_tombstone(order(3), Time(9), Time(1));
    image_of(&mut stock)
}

#[test]
fn a_damaged_image_is_an_error() {
    let image = small_image();
    for (kind, fields) in entries(&image) {
        for length in 0..fields.len() {
            let cut_off = Stock::new(SEED).restore(kind, Reader(&fields[..length]));
            assert!(cut_off.is_err(), "{kind:?} to {length}");
        }
        let too_long = [fields, &[0]].concat();
        assert!(Stock::new(SEED).restore(kind, Reader(&too_long)).is_err(), "{kind:?} and a byte");
    }
    for (place, bit) in (0..image.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut flipped = image.clone();
        flipped[place] ^= 1 << bit;
        if let Ok(mut back) = restored(Reader(&flipped)) {
            assert_eq!(sorted(&image_of(&mut back)), sorted(&flipped), "it says something else, and says it whole");
        }
    }
}

#[test]
fn what_is_missing_or_there_twice_is_an_error() {
    let image = small_image();
    let entries = entries(&image);
    let restore = |entries: &[(Kind, &[u8])]| {
        let mut stock = Stock::new(SEED);
        entries.iter().try_for_each(|(kind, fields)| stock.restore(*kind, Reader(fields)))?;
        stock.restored()
    };
    let mut backwards = entries.clone();
    backwards.reverse();
    assert_eq!(restore(&backwards), Ok(()), "in any order");
    for (index, (kind, _)) in entries.iter().enumerate() {
        let mut twice = entries.clone();
        twice.push(entries[index]);
        assert!(restore(&twice).is_err(), "{kind:?} {index} twice");
        let mut without = entries.clone();
        without.remove(index);
        // The last item may have never been there, as may an adjustment at an end and a tombstone; but both items are named.
        let is_missed = matches!(kind, Kind::Item | Kind::Hold);
        assert_eq!(restore(&without).is_err(), is_missed, "without {kind:?} {index}");
    }
    let mut three = one_item();
    (0..3).for_each(|key| three.apply_adjustment(&adjustment("sku-0".into(), key, 1)));
    let image = image_of(&mut three);
    let gap: Vec<_> = self::entries(&image).into_iter().enumerate().filter(|(index, _)| *index != 2).collect();
    assert!(restore(&gap.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()).is_err(), "a gap");
    assert_eq!(restore(&[]), Ok(()));
}
