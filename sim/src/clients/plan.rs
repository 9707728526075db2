//! What the clients are going to do: drawn from the seed before the run, each operation from a stream of its own, so that
//! cutting some leaves the others as they were.

use orderlane_core::Status;

use crate::clients::shape::{self, Shape};
use crate::history::Placing;
use crate::options::Options;
use crate::random::Random;

/// Orders of a batch, at most.
const BATCH_MAX: u64 = 8;
/// Lines of nearly all orders, at most.
const LINES_MAX: u64 = 5;
/// The metadata of an order is at most this part of a segment.
const SEGMENT_PARTS: usize = 64;
/// A SKU that no product has.
const SKU_UNKNOWN: &str = "sku-none";

/// A product at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planting {
    /// The SKU.
    pub sku: String,
    /// Minor units.
    pub price: u64,
    /// Currency of the price.
    pub currency: &'static str,
    /// Units to open the stock with; 0: it has no stock.
    pub stock: u64,
    /// With `products:batch`, in one; else product and stock apart.
    pub in_one: bool,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its number.
    pub number: u32,
    /// Who does it.
    pub client: u16,
    /// Before it, microseconds.
    pub pause_micros: u64,
    /// Until silence is taken for an answer that will not come, microseconds.
    pub patience_micros: u64,
    /// Whether the client does not try again after silence.
    pub gives_up: bool,
    /// Seconds that it asks to wait for the end of the saga, where that is possible; 0: not at all.
    pub wait_seconds: u64,
    /// How its requests look.
    pub shape: Shape,
    /// What.
    pub work: Work,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Places an order.
    Place(Placing),
    /// Places several orders in one request, as lines or as an array.
    PlaceMany(Vec<Placing>, bool),
    /// Cancels an order of an earlier operation, a number of times.
    Cancel(u32, u64),
    /// Reads an order of an earlier operation.
    Get(u32),
    /// Reads all orders, of a customer or of all, so many on a page, of one status or of any.
    List(Option<String>, usize, Option<Status>),
    /// Changes a price.
    PutProduct(String, u64, &'static str),
    /// Changes the stock by so much, so many times with one key.
    Adjust(String, i64, u64),
    /// Reads the stock.
    Inventory(String),
    /// Has the engine check itself.
    Invariants,
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The products.
    pub plantings: Vec<Planting>,
    /// The operations that were not cut, by number.
    pub operations: Vec<Planned>,
}

impl Workload {
    /// The plan that these options draw.
    #[must_use]
    pub fn draw(options: &Options) -> Workload {
        let plantings: Vec<Planting> = (0..options.skus).map(|index| draw_planting(index, options)).collect();
        let kept = (0..options.operations).filter(|number| !options.is_cut(*number));
        let operations = kept.map(|number| Drawing::new(number, options, &plantings).operation()).collect();
        Workload { plantings, operations }
    }

    /// The operations of one client.
    pub fn of(&self, client: u16) -> impl Iterator<Item = &Planned> {
        self.operations.iter().filter(move |planned| planned.client == client)
    }
}

/// The name of a customer.
#[must_use]
pub fn customer(index: u64) -> String {
    format!("c-{index}")
}

fn draw_planting(index: u16, options: &Options) -> Planting {
    let mut random = Random::named(options.seed, &format!("product {index}"));
    // The first one is always an ordinary one.
    let odd = index > 0 && random.chance(200);
    let foreign = odd && random.chance(500);
    let price = *random.pick(&[0, 1, 99, 1_999, 10_000_000_000]);
    Planting {
        sku: format!("sku-{index}"),
        price,
        currency: if foreign { "USD" } else { "EUR" },
        stock: if odd && !foreign { 0 } else { options.stock },
        in_one: random.chance(300),
    }
}

/// Draws one operation.
struct Drawing<'o> {
    number: u32,
    options: &'o Options,
    plantings: &'o [Planting],
    random: Random,
}

impl Drawing<'_> {
    fn new<'o>(number: u32, options: &'o Options, plantings: &'o [Planting]) -> Drawing<'o> {
        let random = Random::named(options.seed, &format!("operation {number}"));
        Drawing { number, options, plantings, random }
    }

    fn operation(mut self) -> Planned {
        let pause_micros = self.random.between(0, self.options.pause_micros_max);
        let patience_micros = *self.random.pick(&[20_000, 200_000, 200_000, 2_000_000, 10_000_000]);
        let gives_up = self.random.chance(50);
        let wait_seconds = if self.random.chance(200) { *self.random.pick(&[1, 2, 5, 60]) } else { 0 };
        let mut work = self.work(wait_seconds > 0);
        // A turn with many orders has to fit in a frame, and that in a segment: small ones have no room for what is large.
        let room = self.options.segment_bytes.1 as usize / SEGMENT_PARTS;
        let shape = shape::draw(&mut work, &mut self.random, room);
        let client = (self.number % u32::from(self.options.clients.max(1))) as u16;
        Planned { number: self.number, client, pause_micros, patience_micros, gives_up, wait_seconds, shape, work }
    }

    fn work(&mut self, wait: bool) -> Work {
        match self.random.below(100) {
            0..50 => {
                let mut placing = self.placing(format!("k-{}", self.number), wait);
                if self.random.chance(200) {
                    // Customers may use each other's keys.
                    let customers = u32::from(self.options.customers.max(1));
                    placing.key = format!("shared-{}", self.number / customers);
                    placing.customer = customer(u64::from(self.number % customers));
                }
                Work::Place(placing)
            }
            50..56 => {
                let count = self.random.between(1, BATCH_MAX);
                let placings = (0..count).map(|item| self.placing(format!("k-{}-{item}", self.number), wait)).collect();
                Work::PlaceMany(placings, self.random.chance(500))
            }
            56..66 => Work::Cancel(self.earlier(), if self.random.chance(250) { 2 } else { 1 }),
            66..76 => Work::Get(self.earlier()),
            76..81 => Work::List(Some(self.customer()), *self.random.pick(&[1, 2, 7, 50, 200]), None),
            81..86 => {
                let planting = &self.plantings[self.random.index(self.plantings.len())];
                Work::PutProduct(planting.sku.clone(), self.random.between(0, 5_000), planting.currency)
            }
            86..93 => {
                let size = *self.random.pick(&[1, self.options.stock.max(1), 10]) as i64;
                let delta = if self.random.chance(400) { -size } else { size };
                Work::Adjust(self.sku(), delta, if self.random.chance(300) { 2 } else { 1 })
            }
            93..98 => Work::Inventory(self.sku()),
            _ => Work::Invariants,
        }
    }

    /// A number of an earlier operation, most often a near one.
    fn earlier(&mut self) -> u32 {
        let near = if self.random.chance(800) { 12 } else { u64::from(self.number).max(1) };
        let back = self.random.between(1, near) as u32;
        self.number.saturating_sub(back)
    }

    fn customer(&mut self) -> String {
        customer(self.random.below(u64::from(self.options.customers.max(1))))
    }

    fn sku(&mut self) -> String {
        if self.random.chance(self.options.hot_per_mille) {
            return self.plantings[0].sku.clone();
        }
        if self.random.chance(20) {
            return SKU_UNKNOWN.into();
        }
        self.random.pick(self.plantings).sku.clone()
    }

    fn placing(&mut self, key: String, wait: bool) -> Placing {
        let count = if self.random.chance(30) { self.random.between(1, 50) } else { self.random.between(1, LINES_MAX) };
        let mut lines: Vec<(String, u32)> = (0..count).map(|_| (self.sku(), self.quantity())).collect();
        if count > 1 && self.random.chance(150) {
            lines[1].0 = lines[0].0.clone();
        }
        let currency = match self.random.below(20) {
            0..4 => Some("EUR".into()),
            4 => Some("USD".into()),
            _ => None,
        };
        let total_expected = self.random.chance(150).then(|| self.total(&lines));
        let (customer, token) = (self.customer(), self.token());
        Placing { customer, key, lines, token, currency, total_expected, wait, ..Placing::default() }
    }

    /// What the lines cost at the start, now and then one more.
    fn total(&mut self, lines: &[(String, u32)]) -> u64 {
        let price =
            |sku: &str| self.plantings.iter().find(|planting| planting.sku == sku).map_or(0, |found| found.price);
        let total: u64 = lines.iter().map(|(sku, quantity)| price(sku) * u64::from(*quantity)).sum();
        total + u64::from(self.random.chance(300))
    }

    /// Mostly few; sometimes about all that there is.
    fn quantity(&mut self) -> u32 {
        let stock = self.options.stock.clamp(1, 9_999);
        let quantity = match self.random.below(10) {
            0..6 => self.random.between(1, 2),
            6..8 => self.random.between(1, stock),
            8 => stock,
            _ => stock + 1,
        };
        quantity as u32
    }

    fn token(&mut self) -> String {
        match self.random.below(100) {
            0..75 => "tok_ok".into(),
            75..83 => "tok_decline".into(),
            83..88 => "tok_timeout".into(),
            88..92 => "tok_lost".into(),
            _ => format!("tok_slow_{}", *self.random.pick(&[1_u32, 50, 500, 1_900, 5_000])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_a_cut_leaves_the_others_alone() {
        for seed in 0..20 {
            let options = Options::draw(seed);
            let whole = Workload::draw(&options);
            assert_eq!(whole.operations, Workload::draw(&options).operations);
            assert_eq!(whole.operations.len(), options.operations as usize);
            let cut = Workload::draw(&Options { cuts: vec![3..9, 12..13], ..options });
            let kept: Vec<Planned> =
                whole.operations.into_iter().filter(|planned| !matches!(planned.number, 3..9 | 12)).collect();
            assert_eq!((cut.plantings, cut.operations), (whole.plantings, kept));
        }
    }

    #[test]
    fn plans_are_within_the_bounds_of_the_api() {
        use orderlane_core::limits::{EMAIL_LEN_MAX, LINES_MAX, QUANTITY_MAX, TOTAL_MAX};
        use orderlane_core::limits::{METADATA_COUNT_MAX, METADATA_NAME_LEN_MAX, METADATA_VALUE_LEN_MAX};
        let placings = (0..200).flat_map(|seed| {
            Workload::draw(&Options::draw(seed)).operations.into_iter().flat_map(|planned| match planned.work {
                Work::Place(placing) => vec![placing],
                Work::PlaceMany(placings, _) => placings,
                _ => Vec::new(),
            })
        });
        for placing in placings {
            assert!((1..=LINES_MAX).contains(&placing.lines.len()));
            assert!(placing.lines.iter().all(|(_, quantity)| (1..=QUANTITY_MAX).contains(quantity)));
            assert!(placing.total_expected.is_none_or(|total| total <= TOTAL_MAX));
            assert!(placing.email.is_none_or(|email| email.len() <= EMAIL_LEN_MAX));
            assert!(placing.reference.is_none_or(|reference| (1..=64).contains(&reference.len())));
            let metadata = placing.metadata.unwrap_or_default();
            assert!(metadata.len() <= METADATA_COUNT_MAX);
            let mut names = std::collections::BTreeSet::new();
            for (name, value) in &metadata {
                assert!((1..=METADATA_NAME_LEN_MAX).contains(&name.chars().count()) && names.insert(name), "{name}");
                assert!(value.chars().count() <= METADATA_VALUE_LEN_MAX, "{value}");
            }
        }
    }
}
