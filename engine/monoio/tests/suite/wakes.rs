//! Waking a lane from other threads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use orderlane_lane::{Driver, Wake};

use super::{Lane, Subject, on_a_lane, on_lanes, sleep};

const WAKES: usize = 100_000;

/// Looks at a future once, as the loop does with several of them, and drops it.
async fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(move |context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

pub(crate) fn a_wake_is_kept_and_given_once<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        assert!(!is_ready(lane.driver.woken()).await, "nobody has called");
        let wake = lane.wake.clone();
        thread::spawn(move || (0..10).for_each(|_| wake.wake())).join().expect("a wake does not fail");
        sleep(&lane.driver, 20_000).await;
        assert!(is_ready(lane.driver.woken()).await, "the call was lost before anybody waited");
        assert!(!is_ready(lane.driver.woken()).await, "calls before the last completion count once");

        let waiting = lane.driver.woken();
        lane.wake.wake();
        waiting.await;
        assert!(!is_ready(lane.driver.woken()).await);
    });
}

pub(crate) fn no_wake_of_many_is_lost<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let sent = Arc::new(AtomicUsize::new(0));
        let (counter, wake) = (sent.clone(), lane.wake.clone());
        let sender = thread::spawn(move || {
            for _ in 0..WAKES {
                counter.fetch_add(1, SeqCst);
                wake.wake();
            }
        });
        count_up_to(WAKES, &lane.driver, &sent, || ()).await;
        sender.join().expect("a wake does not fail");
    });
}

/// The protocol of the mesh: whoever turns the flag from false to true wakes.
pub(crate) fn no_coalesced_wake_is_lost<S: Subject>() {
    on_a_lane::<S, _>(async |lane| {
        let sent = Arc::new(AtomicUsize::new(0));
        let awake = Arc::new(AtomicBool::new(true));
        let senders = [0, 1].map(|_| {
            let (sent, awake, wake) = (sent.clone(), awake.clone(), lane.wake.clone());
            thread::spawn(move || {
                for _ in 0..WAKES {
                    sent.fetch_add(1, SeqCst);
                    if !awake.swap(true, SeqCst) {
                        wake.wake();
                    }
                }
            })
        });
        count_up_to(2 * WAKES, &lane.driver, &sent, || awake.store(false, SeqCst)).await;
        for sender in senders {
            sender.join().expect("a wake does not fail");
        }
    });
}

/// Sleeps until all is sent, on futures that are dropped and made anew between the looks.
async fn count_up_to<D: Driver>(wanted: usize, driver: &D, sent: &AtomicUsize, before_sleep: impl Fn()) {
    let mut seen = 0;
    while seen < wanted {
        before_sleep();
        let now = sent.load(SeqCst);
        assert!(now >= seen);
        if now == seen && !is_ready(driver.woken()).await && !is_ready(driver.woken()).await {
            driver.woken().await;
        }
        seen = now;
    }
}

/// Two lanes that answer each other: each round trip needs two wake-ups, and a lost one hangs.
pub(crate) fn lanes_wake_each_other<S: Subject>() {
    const ROUNDS: usize = 20_000;
    let wakes = Arc::new(Mutex::new([None::<Arc<dyn Wake>>, None]));
    let ball = Arc::new(AtomicUsize::new(0));
    on_lanes::<S, _, _>(2, move |lane: Lane<S::Driver>| {
        let (wakes, ball) = (wakes.clone(), ball.clone());
        async move {
            let mine = {
                let mut wakes = wakes.lock().expect("nobody panics with the handles");
                let mine = usize::from(wakes[0].is_some());
                wakes[mine] = Some(lane.wake.clone());
                mine
            };
            let other = loop {
                if let Some(other) = wakes.lock().expect("nobody panics with the handles")[1 - mine].clone() {
                    break other;
                }
                sleep(&lane.driver, 1_000).await;
            };
            loop {
                let round = ball.load(SeqCst);
                if round % 2 == mine && round < 2 * ROUNDS {
                    ball.store(round + 1, SeqCst);
                    other.wake();
                } else if round >= 2 * ROUNDS {
                    return other.wake();
                } else {
                    lane.driver.woken().await;
                }
            }
        }
    });
}
