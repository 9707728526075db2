//! Messages between lanes: one SPSC ring for each ordered pair, written in chunks, and one coalesced wake-up per lane.
//!
//! ```text
//! lane 0 ──ring──> lane 1      flag[1]: true while lane 1 is awake or has been woken;
//! lane 0 <──ring── lane 1      whoever turns it from false to true calls its wake handle
//!                              wants_room[0][1]: lane 0 has more for lane 1 than the ring took; lane 1 wakes it when it has read
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use orderlane_core::{Input, Reply, ReplyTo, ShardId};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::driver::Wake;
use crate::limits::Limits;

/// What goes from lane to lane.
#[derive(Debug)]
pub enum Packet {
    /// To a shard of the other lane.
    Input(ShardId, Input),
    /// To a client of the other lane.
    Reply(ReplyTo, Reply),
}

/// One lane's ends of all its rings.
pub struct MeshEnd {
    lane: usize,
    limits: Limits,
    to: Vec<Option<Producer<Packet>>>,
    from: Vec<Option<Consumer<Packet>>>,
    waiting: Vec<VecDeque<Packet>>,
    shared: Arc<Shared>,
}

struct Shared {
    awake: Vec<AtomicBool>,
    /// By source, then by target.
    wants_room: Vec<Vec<AtomicBool>>,
    wakes: Vec<Arc<dyn Wake>>,
}

impl Shared {
    fn wake(&self, lane: usize) {
        if !self.awake[lane].swap(true, SeqCst) {
            self.wakes[lane].wake();
        }
    }
}

/// The ends of a mesh of as many lanes as there are wake handles, in lane order. Every lane has these bounds.
#[must_use]
pub fn mesh(wakes: Vec<Arc<dyn Wake>>, limits: Limits) -> Vec<MeshEnd> {
    let lanes = wakes.len();
    let flags = |value: bool| (0..lanes).map(|_| AtomicBool::new(value)).collect::<Vec<_>>();
    let wants_room = (0..lanes).map(|_| flags(false)).collect();
    let shared = Arc::new(Shared { awake: flags(true), wants_room, wakes });
    let mut ends: Vec<MeshEnd> = (0..lanes)
        .map(|lane| MeshEnd {
            lane,
            limits,
            to: (0..lanes).map(|_| None).collect(),
            from: (0..lanes).map(|_| None).collect(),
            waiting: (0..lanes).map(|_| VecDeque::new()).collect(),
            shared: shared.clone(),
        })
        .collect();
    for source in 0..lanes {
        for target in (0..lanes).filter(|target| *target != source) {
            let (producer, consumer) = RingBuffer::new(limits.ring_slots);
            ends[source].to[target] = Some(producer);
            ends[target].from[source] = Some(consumer);
        }
    }
    ends
}

/// A lane has ended: whoever waits for room in one of its rings would wait for ever, and hears of it.
impl Drop for MeshEnd {
    fn drop(&mut self) {
        self.to.clear();
        self.from.clear();
        (0..self.shared.wakes.len()).filter(|lane| *lane != self.lane).for_each(|lane| self.shared.wake(lane));
    }
}

impl MeshEnd {
    /// Which lane this is.
    #[must_use]
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// The bounds of its lane.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// How many packets wait on this side for room in the ring to `target`.
    #[must_use]
    pub fn waiting(&self, target: usize) -> usize {
        self.waiting[target].len()
    }

    /// Queues a packet; [`MeshEnd::flush`] sends it.
    pub fn send(&mut self, target: usize, packet: Packet) {
        self.waiting[target].push_back(packet);
    }

    /// Moves what waits into the rings, a chunk a lane, and wakes whoever sleeps. True when all of it went. What does not fit
    /// stays, and its receiver wakes this lane when there is room. What is for a lane that has ended is dropped: the next start
    /// sends it again.
    pub fn flush(&mut self) -> bool {
        let mut all = true;
        for target in 0..self.to.len() {
            if self.waiting[target].is_empty() {
                continue;
            }
            if !self.fill(target) {
                self.shared.wants_room[self.lane][target].store(true, SeqCst);
                // The receiver may have made room before it could see the flag.
                self.fill(target);
            }
            self.shared.wake(target);
            all &= self.waiting[target].is_empty();
        }
        all
    }

    /// Moves as much to `target` as there is room for. True when nothing is left.
    fn fill(&mut self, target: usize) -> bool {
        let ring = self.to[target].as_mut().expect("a lane sends nothing to itself through the mesh");
        let waiting = &mut self.waiting[target];
        if ring.is_abandoned() {
            waiting.clear();
        }
        let count = ring.slots().min(waiting.len());
        if count > 0 {
            let chunk = ring.write_chunk_uninit(count).expect("that many slots are free");
            chunk.fill_from_iter(waiting.drain(..count));
        }
        waiting.is_empty()
    }

    /// Takes all packets that are there, lane by lane, each lane's in the order sent.
    pub fn receive(&mut self, mut take: impl FnMut(Packet)) {
        for (source, ring) in self.from.iter_mut().enumerate() {
            let Some(ring) = ring else { continue };
            let count = ring.slots();
            if count > 0 {
                ring.read_chunk(count).expect("that many slots are filled").into_iter().for_each(&mut take);
            }
            // Its sender has more than the ring took, and nothing else would wake it.
            // A swap, not a load: it must not be seen before the reading.
            if self.shared.wants_room[source][self.lane].swap(false, SeqCst) {
                self.shared.wake(source);
            }
        }
    }

    /// Makes the driver wake this lane, though it is awake: its other tasks get their turn first.
    pub fn wake_self(&self) {
        self.shared.wakes[self.lane].wake();
    }

    /// Whether there is room now for something that waits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let is_ready = |(ring, waiting): (&Option<Producer<Packet>>, &VecDeque<Packet>)| {
            !waiting.is_empty() && ring.as_ref().is_some_and(|ring| ring.slots() > 0 || ring.is_abandoned())
        };
        self.to.iter().zip(&self.waiting).any(is_ready)
    }

    /// Whether nothing waits to be sent and nothing was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty) && !self.has_input()
    }

    /// Says that this lane is about to sleep: from now on a sender wakes it. Look once more at the rings afterwards.
    pub fn sleeping(&self) {
        self.shared.awake[self.lane].store(false, SeqCst);
    }

    /// Says that this lane is awake: nobody needs to wake it.
    pub fn awake(&self) {
        self.shared.awake[self.lane].store(true, SeqCst);
    }

    /// Whether a packet waits for this lane.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.from.iter().flatten().any(|ring| ring.slots() > 0)
    }
}
