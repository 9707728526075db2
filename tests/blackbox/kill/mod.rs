//! SIGKILL at random moments under load: nothing that was acknowledged is lost or doubled.

mod shop;

use std::time::Duration;

use serde_json::Value;

use crate::binary::{orderlane, run};
use crate::server::Server;
use shop::Shop;

const KILLS: u32 = 8;

/// xorshift64*: moments that can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// `BLACKBOX_SEED=… cargo test kill` goes through the same moments again, as far as threads allow.
fn seed() -> u64 {
    let given = std::env::var("BLACKBOX_SEED").ok().and_then(|text| text.parse().ok());
    let clock = || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
    };
    let seed = given.unwrap_or_else(clock) | 1;
    println!("BLACKBOX_SEED={seed}");
    eprintln!("BLACKBOX_SEED={seed}");
    seed
}

fn verify(server: &Server) -> Value {
    let data = server.data();
    let ended = run(&mut orderlane(&["journal", "verify", "--data", data.to_str().expect("UTF-8"), "--json"]));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let found: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(found["violations"], 0, "{found}");
    found
}

/// Traps 2 and 6: the key lies in the commit of its order; who got no answer asks again and gets the one that counts.
#[test]
fn trap_02_06_no_kill_loses_or_doubles_an_acknowledged_order() {
    let seed = seed();
    let mut random = Random(seed);
    let start = |lanes| ["--lanes", lanes, "--payment-timeout", "300ms"];
    let server = Server::start(&start("2"));
    let shop = Shop::open(&server);
    let books = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shop::THREADS)
            .map(|number| {
                scope.spawn({
                    let shop = &shop;
                    move || shop.buy(number)
                })
            })
            .collect();
        let _doorman = shop.doorman();
        for kill in 0..KILLS {
            std::thread::sleep(Duration::from_millis(20 + random.below(400)));
            server.kill();
            // Each run has another number of lanes: a key may come back to a lane that has never seen it.
            server.restart(&start(["1", "2", "1", "4"][kill as usize % 4]));
        }
        std::thread::sleep(Duration::from_millis(300));
        shop.close();
        threads.into_iter().flat_map(|thread| thread.join().expect("a buyer")).collect::<Vec<_>>()
    });
    let repeated = books.iter().filter(|entry| entry.sent > 1).count();
    println!("{} orders acknowledged, {repeated} after a retry, {KILLS} kills", books.len());
    assert!(books.len() > 100 && repeated > 0, "the kills met no load: seed {seed}");

    server.admin().settled();
    shop.check(&books);
    let before = server.admin().settled();
    server.kill();
    let offline = verify(&server);
    for part in ["stock", "orders", "money", "shards"] {
        assert_eq!(offline[part], before[part], "{part} read offline, seed {seed}");
    }
    for lanes in ["1", "2", "4"] {
        server.restart(&start(lanes));
        let found = server.admin().invariants();
        assert_eq!(found["shards"], before["shards"], "digests with --lanes {lanes}, seed {seed}");
        assert_eq!(found, before, "--lanes {lanes}, seed {seed}");
        server.kill();
    }
}
