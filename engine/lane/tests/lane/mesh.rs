//! The mesh alone: order, room, and wake-ups that are neither lost nor wasted.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use orderlane_core::{Refusal, Reply, ReplyTo};
use orderlane_lane::limits::RING_SLOTS;
use orderlane_lane::{Limits, MeshEnd, Packet, Wake, mesh};

#[derive(Default)]
struct Bell {
    calls: AtomicUsize,
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Like `thread::park`: at once when the bell was rung before. False when nobody rings.
    fn wait(&self) -> bool {
        let rung = self.rung.lock().expect("nobody panics with it");
        let (mut rung, _) = self
            .changed
            .wait_timeout_while(rung, Duration::from_secs(5), |rung| !*rung)
            .expect("nobody panics with it");
        std::mem::take(&mut *rung)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.calls.fetch_add(1, SeqCst);
        *self.rung.lock().expect("nobody panics with it") = true;
        self.changed.notify_one();
    }
}

fn lanes<const N: usize>() -> ([MeshEnd; N], [Arc<Bell>; N]) {
    let bells: [Arc<Bell>; N] = std::array::from_fn(|_| Arc::default());
    let ends = mesh(bells.iter().map(|bell| bell.clone() as Arc<dyn Wake>).collect(), Limits::default());
    let Ok(ends) = ends.try_into() else { panic!("an end for each handle") };
    (ends, bells)
}

fn packet(number: usize) -> Packet {
    let to = ReplyTo { lane: 0, slot: 0, generation: 0, request: number as u32 };
    Packet::Reply(to, Reply::Refused(Refusal::NotFound))
}

fn number(packet: &Packet) -> usize {
    match packet {
        Packet::Reply(to, _) => to.request as usize,
        Packet::Input(..) => panic!("replies only"),
    }
}

fn receive(end: &mut MeshEnd) -> Vec<usize> {
    let mut numbers = Vec::new();
    end.receive(|packet| numbers.push(number(&packet)));
    numbers
}

#[test]
fn what_does_not_fit_waits_and_arrives_later_in_order() {
    let ([mut source, mut target], [source_bell, target_bell]) = lanes();
    let count = 2 * RING_SLOTS + 10;
    (0..count).for_each(|number| source.send(1, packet(number)));
    assert!(!source.is_empty());
    assert!(!source.flush());
    assert_eq!(source.waiting(1), RING_SLOTS + 10);
    source.sleeping();
    let mut received = Vec::new();
    for wakes in 1..=2 {
        received.extend(receive(&mut target));
        assert_eq!(received.len(), wakes * RING_SLOTS);
        assert_eq!(source_bell.calls(), wakes, "the ring was full: its sender may have more");
        source.awake();
        assert_eq!(source.flush(), wakes == 2);
        source.sleeping();
    }
    received.extend(receive(&mut target));
    assert!(received.into_iter().eq(0..count));
    assert_eq!(source_bell.calls(), 2, "nothing waits any more");
    assert_eq!(target_bell.calls(), 0, "the receiver never slept");
    assert!(source.is_empty() && target.is_empty());
}

#[test]
fn a_lane_that_ends_wakes_whoever_waits_for_room() {
    let ([mut source, target], [bell, _]) = lanes();
    (0..RING_SLOTS + 1).for_each(|number| source.send(1, packet(number)));
    assert!(!source.flush());
    source.sleeping();
    drop(target);
    assert_eq!(bell.calls(), 1);
    assert!(source.has_room() && source.flush(), "what nobody will read is dropped");
}

#[test]
fn each_pair_has_its_own_order_and_room() {
    let ([mut a, mut b, mut c], _) = lanes();
    for number in 0..RING_SLOTS + 5 {
        a.send(2, packet(number));
    }
    (0..5).for_each(|number| b.send(2, packet(100_000 + number)));
    a.send(1, packet(7));
    assert!(!a.flush(), "the ring to lane 2 is full");
    assert!(b.flush());
    assert_eq!(receive(&mut b), [7], "a full ring to one lane holds up no other");
    let numbers = receive(&mut c);
    assert!(numbers.iter().copied().filter(|number| *number < 100_000).eq(0..RING_SLOTS));
    assert!(numbers.iter().copied().filter(|number| *number >= 100_000).eq(100_000..100_005));
    assert!(a.flush());
    assert!(receive(&mut c).into_iter().eq(RING_SLOTS..RING_SLOTS + 5));
}

#[test]
fn a_lane_is_woken_once_a_sleep_and_never_while_awake() {
    let ([mut a, mut b, mut c], [_, bell, _]) = lanes();
    let mut send = |number| {
        for end in [&mut a, &mut c] {
            end.send(1, packet(number));
            assert!(end.flush());
        }
    };
    (0..3).for_each(&mut send);
    assert_eq!(bell.calls(), 0, "lane 1 is awake");
    b.sleeping();
    assert!(b.has_input(), "the look after the announcement finds what came before it");
    (3..6).for_each(&mut send);
    assert_eq!(bell.calls(), 1, "one call for all, whoever sends");
    b.sleeping();
    b.awake();
    send(6);
    assert_eq!(bell.calls(), 1, "it woke for another reason");
    assert_eq!(receive(&mut b).len(), 14);
    b.sleeping();
    send(7);
    assert_eq!(bell.calls(), 2);
}

#[test]
fn a_flush_of_nothing_wakes_nobody() {
    let ([mut a, b], [_, bell]) = lanes();
    b.sleeping();
    assert!(a.flush());
    assert_eq!(bell.calls(), 0);
}

/// The sender fills up the ring while the receiver is taking: the receiver never sees a full ring.
#[test]
fn a_sender_that_waits_for_room_is_woken_though_the_receiver_never_saw_a_full_ring() {
    let ([mut source, mut target], [source_bell, _]) = lanes();
    (0..10).for_each(|number| source.send(1, packet(number)));
    assert!(source.flush());
    let mut received = Vec::new();
    target.receive(|packet| {
        if received.is_empty() {
            (10..RING_SLOTS + 100).for_each(|number| source.send(1, self::packet(number)));
            assert!(!source.flush());
            source.sleeping();
        }
        received.push(number(&packet));
    });
    while target.has_input() {
        received.extend(receive(&mut target));
    }
    assert!(
        received.len() == RING_SLOTS + 100 || source_bell.calls() > 0,
        "packets wait, and nobody wakes their sender"
    );
    source.awake();
    source.flush();
    received.extend(receive(&mut target));
    assert!(received.into_iter().eq(0..RING_SLOTS + 100));
}

/// The receiver makes room after the sender's last flush and before the sender says that it sleeps.
#[test]
fn room_that_comes_before_the_sleep_of_its_sender_is_seen() {
    let ([mut source, mut target], [source_bell, _]) = lanes();
    (0..RING_SLOTS + 1).for_each(|number| source.send(1, packet(number)));
    assert!(!source.flush());
    assert_eq!(receive(&mut target).len(), RING_SLOTS);
    source.sleeping();
    assert!(source.has_room() || source_bell.calls() > 0, "a packet waits, there is room, and its sender sleeps");
}

/// One turn of a thread: `turn` says whether there was anything. Sleeps when there was not.
fn turns(end: &mut MeshEnd, bell: &Bell, mut turn: impl FnMut(&mut MeshEnd) -> Turned) {
    loop {
        end.awake();
        match turn(end) {
            Turned::Done => return,
            Turned::Something => continue,
            Turned::Nothing => {}
        }
        end.sleeping();
        if !end.has_input() && !end.has_room() {
            assert!(bell.wait(), "a wake-up was lost, or a packet");
        }
    }
}

enum Turned {
    Done,
    Something,
    Nothing,
}

/// 100,000 there and 100,000 back, in bursts of all sizes, so that both sides go to sleep as often as can be.
#[test]
#[expect(clippy::disallowed_methods, reason = "two real threads are what is tested")]
fn two_threads_exchange_200_000_packets_and_lose_none() {
    const COUNT: usize = 100_000;
    let ([mut here, mut there], [here_bell, there_bell]) = lanes();
    let echo = thread::spawn(move || {
        let mut echoed = 0;
        turns(&mut there, &there_bell, |end| {
            let numbers = receive(end);
            for number in &numbers {
                assert_eq!(*number, echoed, "in order");
                echoed += 1;
                end.send(0, packet(*number));
            }
            assert!(end.flush(), "a burst fits in the ring");
            match (echoed, numbers.len()) {
                (COUNT, _) => Turned::Done,
                (_, 0) => Turned::Nothing,
                _ => Turned::Something,
            }
        });
    });
    let (mut sent, mut received, mut burst) = (0, 0, 1);
    turns(&mut here, &here_bell, |end| {
        let numbers = receive(end);
        for number in &numbers {
            assert_eq!(*number, received, "in order");
            received += 1;
        }
        if received == COUNT {
            return Turned::Done;
        }
        if received < sent {
            return if numbers.is_empty() { Turned::Nothing } else { Turned::Something };
        }
        burst = burst * 7 % 61 + 1;
        for _ in 0..burst.min(COUNT - sent) {
            end.send(1, packet(sent));
            sent += 1;
        }
        assert!(end.flush());
        Turned::Something
    });
    echo.join().expect("the other thread lost nothing");
    assert!(here_bell.calls() <= COUNT && here_bell.calls() > 0, "they did sleep");
}

/// 200,000 at once, far more than the ring takes: the sender sleeps until there is room.
#[test]
#[expect(clippy::disallowed_methods, reason = "two real threads are what is tested")]
fn a_thread_that_sends_far_more_than_the_ring_takes_loses_none() {
    const COUNT: usize = 200_000;
    let ([mut here, mut there], [here_bell, there_bell]) = lanes();
    let sender = thread::spawn(move || {
        (0..COUNT).for_each(|number| here.send(1, packet(number)));
        turns(&mut here, &here_bell, |end| if end.flush() { Turned::Done } else { Turned::Nothing });
        here
    });
    let mut received = 0;
    turns(&mut there, &there_bell, |end| {
        let before = received;
        end.receive(|packet| {
            assert_eq!(number(&packet), received, "in order");
            received += 1;
        });
        match received {
            COUNT => Turned::Done,
            _ if received > before => Turned::Something,
            _ => Turned::Nothing,
        }
    });
    sender.join().expect("the sender found room");
}
