//! The cut of a lane: begun at once, made in slices, sent when its events are durable, its ended orders evicted when it is stored.
//!
//! ```text
//! Idle ─ a bound is reached ─> Cutting ─ all parts sent ─> Storing ─ Stored ─> Evicting ─ all gone, covered ─> Idle
//! ```

use std::collections::VecDeque;
use std::sync::mpsc::Sender;

use orderlane_core::{CutPart, Sequence, ShardId, Time};
use orderlane_lane::{Commits, Tended};

use crate::message::ToKeeper;

use super::CutLimits;
use super::memory::Memory;

pub(super) struct Cutting {
    lane: u16,
    limits: CutLimits,
    sender: Sender<ToKeeper>,
    phase: Phase,
    cuts: u64,
    checkpoint_bytes: u64,
    first_cut_soon: bool,
    shed: bool,
    failed: bool,
    begun: Option<Begun>,
    /// Up to where no start needs the journal, by the lane's shards.
    covered: Vec<(ShardId, Sequence)>,
}

/// The last cut (at first: the start).
struct Begun {
    at: Time,
    commit_bytes: u64,
    sequences: Vec<Sequence>,
}

enum Phase {
    Idle,
    Cutting(Pieces),
    Storing,
    /// Orders leave the shard at this place of the lane, then those behind it.
    Evicting(usize),
    Failed,
}

/// What a cut has given so far.
struct Pieces {
    /// The commit whose end makes the cut's events durable.
    decided: u64,
    /// The shard that is cut.
    slot: usize,
    part: CutPart,
    waiting: VecDeque<ToKeeper>,
    waiting_bytes: usize,
}

impl Cutting {
    pub(super) fn new(
        lane: u16,
        limits: CutLimits,
        sender: Sender<ToKeeper>,
        checkpoint_bytes: u64,
        first_cut_soon: bool,
    ) -> Cutting {
        Cutting {
            lane,
            limits,
            sender,
            phase: Phase::Idle,
            cuts: 0,
            checkpoint_bytes,
            first_cut_soon,
            shed: false,
            failed: false,
            begun: None,
            covered: Vec::new(),
        }
    }

    /// One round. `may_evict`: no input waits that was looked up in memory.
    pub(super) fn tend<M: Memory>(&mut self, now: Time, shards: &mut [M], commits: Commits, may_evict: bool) -> Tended {
        if self.begun.is_none() {
            self.begun = Some(Begun::now(now, shards, commits));
        }
        if matches!(self.phase, Phase::Idle) && !self.failed && self.is_due(now, shards, commits) {
            self.begin(now, shards, commits);
        }
        match &mut self.phase {
            Phase::Idle | Phase::Storing | Phase::Failed => Tended::default(),
            Phase::Cutting(_) => Tended { more: self.slice(shards, commits), worked: true, covered: Vec::new() },
            Phase::Evicting(_) if !may_evict => Tended::default(),
            Phase::Evicting(slot) => {
                let Some(shard) = shards.get_mut(*slot) else {
                    self.phase = Phase::Idle;
                    return Tended { covered: self.covered.clone(), ..Tended::default() };
                };
                *slot += usize::from(!shard.evict(self.limits.slice));
                Tended { more: true, worked: true, covered: Vec::new() }
            }
        }
    }

    /// The keeper has stored a cut.
    pub(super) fn stored(&mut self, cut: u64, covered: Vec<(ShardId, Sequence)>, checkpoint_bytes: u64) {
        assert!(matches!(self.phase, Phase::Storing) && cut == self.cuts, "the cut under way is stored, no other");
        self.covered = covered;
        self.checkpoint_bytes = checkpoint_bytes;
        self.phase = Phase::Evicting(0);
    }

    /// The disk is full, or no longer.
    pub(super) fn shed(&mut self, on: bool) {
        self.shed = on;
    }

    /// Nothing is stored any more. Orders of a cut that was stored may still leave; no cut begins after that.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        if !matches!(self.phase, Phase::Evicting(_)) {
            self.phase = Phase::Failed;
        }
    }

    fn is_due<M: Memory>(&self, now: Time, shards: &[M], commits: Commits) -> bool {
        let begun = self.begun.as_ref().expect("set by the first round");
        // Orders that a kept message names are quiet and stay: without a new event they would stay again.
        let moved = || shards.iter().zip(&begun.sequences).any(|(shard, begun)| shard.sequence() != *begun);
        let quiet = || shards.iter().map(Memory::orders_quiet).sum::<u64>();
        if self.first_cut_soon || quiet() >= self.limits.cut_orders && (self.cuts == 0 || moved()) {
            return true;
        }
        let bytes_max =
            self.limits.cut_bytes_min.max(self.checkpoint_bytes.saturating_mul(self.limits.cut_bytes_factor));
        if commits.bytes - begun.commit_bytes >= bytes_max {
            return true;
        }
        let micros = now.micros_since(begun.at);
        if self.shed && micros >= self.limits.cut_shed_micros {
            // Two cuts free all of the journal, also when nothing moves any more.
            let needed = |shard: &M| {
                let covered = self.covered.iter().find(|(own, _)| *own == shard.id());
                covered.map_or(0, |(_, sequence)| *sequence) < shard.sequence()
            };
            return shards.iter().any(needed);
        }
        micros >= self.limits.cut_micros_max && moved()
    }

    fn begin<M: Memory>(&mut self, now: Time, shards: &mut [M], commits: Commits) {
        shards.iter_mut().for_each(Memory::begin_cut);
        self.begun = Some(Begun::now(now, shards, commits));
        self.first_cut_soon = false;
        self.cuts += 1;
        let sequences = shards.iter().map(|shard| (shard.id(), shard.sequence())).collect();
        let begin = ToKeeper::Begin { lane: self.lane, cut: self.cuts, shards: sequences };
        self.phase = Phase::Cutting(Pieces {
            decided: commits.decided,
            slot: 0,
            part: CutPart::default(),
            waiting: VecDeque::from([begin]),
            waiting_bytes: 0,
        });
    }

    /// True: another slice can be made at once.
    fn slice<M: Memory>(&mut self, shards: &mut [M], commits: Commits) -> bool {
        let Phase::Cutting(pieces) = &mut self.phase else { unreachable!("called while cutting") };
        if pieces.slot < shards.len() && pieces.waiting_bytes < self.limits.pieces_waiting_bytes_max {
            let shard = &mut shards[pieces.slot];
            let end = shard.cut(self.limits.slice, &mut pieces.part);
            if end.is_some() || pieces.bytes() >= self.limits.piece_bytes {
                pieces.put_part(self.lane, shard.id());
            }
            if let Some(end) = end {
                pieces.waiting.push_back(ToKeeper::Shard { lane: self.lane, shard: shard.id(), end: Box::new(end) });
                pieces.slot += 1;
            }
            if pieces.slot == shards.len() {
                pieces.waiting.push_back(ToKeeper::Store { lane: self.lane, cut: self.cuts });
            }
        }
        let durable = commits.durable >= pieces.decided;
        if durable {
            pieces.waiting_bytes = 0;
            for message in pieces.waiting.drain(..) {
                // A keeper that is gone is found out by its silence: the receiver says so.
                let _ = self.sender.send(message);
            }
        }
        let whole = pieces.slot == shards.len();
        let more = !whole && pieces.waiting_bytes < self.limits.pieces_waiting_bytes_max;
        if whole && durable {
            self.phase = Phase::Storing;
        }
        more
    }
}

impl Begun {
    fn now<M: Memory>(now: Time, shards: &[M], commits: Commits) -> Begun {
        Begun { at: now, commit_bytes: commits.bytes, sequences: shards.iter().map(Memory::sequence).collect() }
    }
}

impl Pieces {
    fn bytes(&self) -> usize {
        self.part.live.len() + self.part.ended_bytes.len()
    }

    fn put_part(&mut self, lane: u16, shard: ShardId) {
        self.waiting_bytes += self.bytes();
        // The next part is likely to be about as long.
        let next = CutPart {
            ended: Vec::with_capacity(self.part.ended.len().next_power_of_two()),
            ended_bytes: Vec::with_capacity(self.part.ended_bytes.len().next_power_of_two()),
            live: Vec::new(),
        };
        self.waiting.push_back(ToKeeper::Part { lane, shard, part: std::mem::replace(&mut self.part, next) });
    }
}
