//! The network alone: tasks that talk over it until nothing is left to do.

use std::cell::RefCell;
use std::rc::Rc;

use orderlane_lane::{Stream, StreamReader, StreamWriter};

use super::*;
use crate::faults::{Fault, FaultSet};
use crate::options::Options;

const SERVER: Group = Group(7);

fn world(seed: u64, faults: FaultSet) -> (Sim, Network) {
    let sim = Sim::new(Options { faults, ..Options::draw(seed) }, false);
    let network = Network::new(&sim);
    (sim, network)
}

fn run(sim: &Sim) {
    while sim.executor().step() {}
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Accepts one connection and sends back what it reads, to the end.
async fn echo(network: Network, listener: SimListener) {
    let stream = network.accept(&listener).await.expect("a client connects");
    let (mut reader, mut writer, _closer) = stream.split();
    loop {
        let (result, bytes) = reader.read(Vec::with_capacity(1_000)).await;
        let Ok(count) = result else { return };
        assert!(count == bytes.len() && count <= 1_000);
        if count == 0 {
            return writer.finish();
        }
        let (mut bytes, mut from) = (bytes, 0);
        while from < bytes.len() {
            let result;
            (result, bytes) = writer.write(bytes, from).await;
            let Ok(count) = result else { return };
            from += count;
        }
    }
}

#[test]
fn bytes_arrive_in_order_in_pieces_and_then_the_end() {
    for seed in 0..20 {
        let (sim, network) = world(seed, FaultSet::default().with(Fault::SplitBytes));
        let listener = network.listen(SERVER, 0);
        sim.executor().spawn(SERVER, echo(network.clone(), listener));
        let got = Rc::new(RefCell::new(Vec::new()));
        let filling = got.clone();
        sim.executor().spawn(Group::OUTSIDE, async move {
            let mut stream = network.connect().await.expect("a lane listens");
            // Fewer at a time than the smallest buffers of both directions hold, so that nobody waits for nobody.
            for part in pattern(10_000).chunks(50) {
                stream.write(part).await.expect("the server reads");
                let wanted = filling.borrow().len() + part.len();
                let mut all = filling.take();
                while all.len() < wanted {
                    assert!(stream.read(&mut all).await.expect("the server writes") > 0);
                }
                filling.replace(all);
            }
            stream.finish();
            assert_eq!(stream.read(&mut Vec::new()).await.expect("an end"), 0);
            filling.borrow_mut().push(0);
        });
        run(&sim);
        let mut expected = pattern(10_000);
        expected.push(0);
        assert!(*got.borrow() == expected, "seed {seed}");
        let (injected, observed) = sim.faults().counts()[Fault::SplitBytes as usize];
        assert!(injected > 0 && observed > 0);
    }
}

#[test]
fn a_reset_is_met_by_both_sides() {
    let (sim, network) = world(1, FaultSet::default().with(Fault::Reset));
    let errors = Rc::new(Cell::new(0));
    for _ in 0..100 {
        let listener = network.listen(SERVER, 0);
        sim.executor().spawn(SERVER, echo(network.clone(), listener));
        let (network, errors) = (network.clone(), errors.clone());
        sim.executor().spawn(Group::OUTSIDE, async move {
            let mut stream = network.connect().await.expect("a lane listens");
            stream.write(b"hello").await.expect("not broken yet");
            let mut buffer = Vec::new();
            while !matches!(stream.read(&mut buffer).await, Err(_) | Ok(0)) {}
            errors.set(errors.get() + 1);
        });
    }
    run(&sim);
    let (injected, observed) = sim.faults().counts()[Fault::Reset as usize];
    assert!(injected > 0 && observed > 0 && observed <= injected && errors.get() >= observed);
}

#[test]
fn the_dead_are_silent_and_their_clients_learn_it() {
    for seed in 0..20 {
        let (sim, network) = world(seed, FaultSet::default());
        let listener = network.listen(SERVER, 0);
        let accepting = network.clone();
        let (sleeping, killing) = (sim.clone(), network.clone());
        // In a group of its own: it outlives the kill, as the buffers of a dead process do.
        sim.executor().spawn(Group(8), async move {
            let (_reader, mut writer, _closer) = accepting.accept(&listener).await.expect("a client connects").split();
            sleeping.executor().sleep(100_000).await;
            killing.kill(SERVER);
            writer.write(b"late".to_vec(), 0).await.0.expect_err("it is dead");
            accepting.accept(&listener).await.map(|_| ()).expect_err("it is dead");
        });
        let ended = Rc::new(Cell::new(false));
        let end = ended.clone();
        sim.executor().spawn(Group::OUTSIDE, async move {
            let mut stream = network.connect().await.expect("a lane listens");
            stream.write(b"hello").await.expect("the server lives");
            let mut buffer = Vec::new();
            assert!(matches!(stream.read(&mut buffer).await, Err(_) | Ok(0)));
            network.connect().await.map(|_| ()).expect_err("nobody listens");
            end.set(buffer.is_empty());
        });
        run(&sim);
        assert!(ended.get(), "seed {seed}");
    }
}

#[test]
fn closing_a_listener_ends_a_pending_accept() {
    let (sim, network) = world(3, FaultSet::default());
    let listener = network.listen(SERVER, 0);
    let (closing, held) = (network.clone(), listener.clone());
    let ended = Rc::new(Cell::new(false));
    let end = ended.clone();
    sim.executor().spawn(SERVER, async move { end.set(network.accept(&listener).await.is_err()) });
    sim.executor().after(1_000, move || closing.close_listener(&held));
    run(&sim);
    assert!(ended.get());
}
