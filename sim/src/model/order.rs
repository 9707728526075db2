//! An order as its events tell of it.

use std::collections::BTreeSet;

use orderlane_core::{Currency, Event, OrderBody, OrderId, Reason, Sequence, ShardId, Status, StockAnswer, Time};

use super::{Seen, What};

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For the answers of its stock shards.
    Reserving,
    /// For its stock to come back: it is refused.
    Rejecting,
    /// For its stock to come back: it was too late before it was reserved.
    Expiring,
    /// For the charge.
    Charging,
    /// For a look-up of the charge.
    Reconciling,
    /// For its stock to come back: no payment.
    Failing,
    /// For its stock to be sold.
    Selling,
    /// For its stock to come back and the charge to be settled.
    Cancelling,
    /// For its money to go back.
    Refunding,
    /// For nothing.
    Ended(Status),
}

impl Phase {
    /// What clients see of it.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Phase::Reserving | Phase::Rejecting | Phase::Expiring => Status::Pending,
            Phase::Charging | Phase::Reconciling | Phase::Failing => Status::Reserved,
            Phase::Selling => Status::Paid,
            Phase::Cancelling => Status::Cancelling,
            Phase::Refunding => Status::Refunding,
            Phase::Ended(status) => status,
        }
    }
}

/// What clients see of an order between two changes of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// `status`
    pub status: Status,
    /// `reason`
    pub reason: Option<Reason>,
    /// `total`
    pub total: Option<u64>,
    /// `currency`
    pub currency: Option<Currency>,
    /// `unitPrice` of each line; empty while they are not shown.
    pub prices: Vec<u64>,
    /// `version`
    pub version: u32,
    /// `updatedAt`
    pub updated: Time,
}

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// What was asked for.
    pub body: OrderBody,
    /// SKU, quantity and stock shard of each line.
    pub lines: Vec<(String, u32, ShardId)>,
    /// The number of its creation.
    pub sequence: Sequence,
    /// When it was created.
    pub created: Time,
    /// When its hold ends.
    pub deadline: Time,
    /// What it waits for.
    pub phase: Phase,
    /// Stock shards whose answer is awaited.
    pub awaiting: BTreeSet<ShardId>,
    /// Stock shards that refused.
    pub refused: BTreeSet<ShardId>,
    /// What they said.
    pub refusals: Vec<Reason>,
    /// The currencies that were named, in the order of the answers.
    pub currencies: Vec<Currency>,
    /// Unit price of each line, once known.
    pub prices: Vec<Option<u64>>,
    /// The total, once decided.
    pub total: Option<u64>,
    /// Why it ends badly.
    pub reason: Option<Reason>,
    /// The last attempt, from 1.
    pub attempt: u8,
    /// Whether the outcome of the last attempt is known.
    pub settled: bool,
    /// Attempts that took the money.
    pub charged: BTreeSet<u8>,
    /// Attempts whose money was asked back.
    pub refunding: BTreeSet<u8>,
    /// Attempts whose money is back.
    pub refunded: BTreeSet<u8>,
    /// Whether the customer was told of the end.
    pub notified: bool,
    /// What clients saw, from which event on.
    pub views: Vec<(Sequence, View)>,
}

impl Order {
    pub(super) fn new(id: OrderId, body: &OrderBody, deadline: Time, seen: &Seen<'_>, shards: u16) -> Order {
        let lines: Vec<_> =
            body.lines().map(|line| (line.sku.to_string(), line.quantity, ShardId::of(line.sku, shards))).collect();
        let view = View {
            status: Status::Pending,
            reason: None,
            total: None,
            currency: body.currency(),
            prices: Vec::new(),
            version: 1,
            updated: seen.time,
        };
        Order {
            id,
            body: body.clone(),
            sequence: seen.sequence,
            created: seen.time,
            deadline,
            phase: Phase::Reserving,
            awaiting: lines.iter().map(|line| line.2).collect(),
            refused: BTreeSet::new(),
            refusals: Vec::new(),
            currencies: Vec::new(),
            prices: vec![None; lines.len()],
            lines,
            total: None,
            reason: None,
            attempt: 0,
            settled: true,
            charged: BTreeSet::new(),
            refunding: BTreeSet::new(),
            refunded: BTreeSet::new(),
            notified: false,
            views: vec![(seen.sequence, view)],
        }
    }

    /// The stock shards, in the order of their first lines.
    #[must_use]
    pub fn participants(&self) -> Vec<ShardId> {
        let mut shards = Vec::new();
        for (_, _, shard) in &self.lines {
            if !shards.contains(shard) {
                shards.push(*shard);
            }
        }
        shards
    }

    /// What clients see.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.views.last().expect("an order has a view from its creation on").1
    }

    /// What clients could see from one sequence to another, both included, oldest first.
    pub fn views_between(&self, low: Sequence, high: Sequence) -> impl Iterator<Item = &View> {
        let first = self.views.partition_point(|(sequence, _)| *sequence <= low).saturating_sub(1);
        self.views[first..].iter().take_while(move |(sequence, _)| *sequence <= high).map(|(_, view)| view)
    }

    /// What clients saw at a sequence.
    #[must_use]
    pub fn view_at(&self, sequence: Sequence) -> Option<&View> {
        self.views.iter().rev().find(|(from, _)| *from <= sequence).map(|(_, view)| view)
    }

    /// The sum of all lines, when every price is known.
    #[must_use]
    pub fn sum(&self) -> Option<u64> {
        self.lines
            .iter()
            .zip(&self.prices)
            .map(|((_, quantity, _), price)| Some(u64::from(*quantity) * (*price)?))
            .sum()
    }

    /// Attempts whose money is there and not asked back.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.charged.difference(&self.refunding).count()
    }

    /// Folds an event of its saga; gives the messages that follow from it.
    pub(super) fn fold(&mut self, seen: &Seen<'_>) -> Vec<(ShardId, What)> {
        let before = self.phase;
        let after = self.note(seen.event);
        self.phase = after;
        let messages = if before == after { Vec::new() } else { self.ask(before, after) };
        if before.status() != after.status() {
            let view = self.view_now(self.view().version + 1, seen.time);
            self.views.push((seen.sequence, view));
        }
        messages
    }

    fn note(&mut self, event: &Event) -> Phase {
        match event {
            Event::StockAnswered { shard, answer, .. } => self.note_answer(*shard, answer),
            Event::InventoryReserved { total, .. } => {
                self.total = Some(*total);
                return Phase::Charging;
            }
            Event::InventoryRejected { reason, total, .. } => {
                self.total = *total;
                self.reason = Some(*reason);
                return Phase::Rejecting;
            }
            Event::PaymentRequested { attempt, .. } => {
                self.attempt = *attempt;
                self.settled = false;
                return Phase::Charging;
            }
            Event::PaymentUnknown { .. } if self.phase == Phase::Charging => return Phase::Reconciling,
            Event::PaymentUnknown { .. } => {}
            Event::PaymentNotFound { .. } => self.settled = true,
            Event::PaymentCompleted { attempt, .. } => return self.note_money(*attempt),
            Event::PaymentFailed { reason, .. } => {
                self.settled = true;
                if self.phase != Phase::Cancelling {
                    self.reason = Some(*reason);
                    return Phase::Failing;
                }
            }
            Event::CancelRequested { .. } => {
                self.reason = Some(Reason::Cancelled);
                return Phase::Cancelling;
            }
            Event::HoldExpired { .. } => {
                self.reason = Some(Reason::HoldExpired);
                return if self.phase == Phase::Reserving { Phase::Expiring } else { Phase::Cancelling };
            }
            Event::StockRestored { shard, .. } | Event::StockSaleConfirmed { shard, .. } => {
                self.awaiting.remove(shard);
            }
            Event::RefundRequested { attempt, .. } => {
                self.refunding.insert(*attempt);
                if self.phase == Phase::Cancelling {
                    return Phase::Refunding;
                }
            }
            Event::RefundCompleted { attempt, .. } => {
                self.refunded.insert(*attempt);
            }
            Event::OrderCompleted { .. } => return Phase::Ended(Status::Completed),
            Event::OrderRejected { .. } => return Phase::Ended(Status::Rejected),
            Event::OrderFailed { .. } => return Phase::Ended(Status::PaymentFailed),
            Event::OrderExpired { .. } => return Phase::Ended(Status::Expired),
            Event::OrderCancelled { .. } => return Phase::Ended(Status::Cancelled),
            Event::NotificationSent { .. } => self.notified = true,
            _ => {}
        }
        self.phase
    }

    fn note_answer(&mut self, shard: ShardId, answer: &StockAnswer) {
        self.awaiting.remove(&shard);
        self.currencies.extend(answer.currency);
        if let Some(reason) = answer.refusal {
            self.refused.insert(shard);
            self.refusals.push(reason);
        }
        let mut prices = answer.prices.iter();
        for ((_, _, owner), price) in self.lines.iter().zip(&mut self.prices) {
            if *owner == shard {
                *price = prices.next().copied();
            }
        }
    }

    fn note_money(&mut self, attempt: u8) -> Phase {
        let awaited = attempt == self.attempt && !self.settled;
        self.settled |= attempt == self.attempt;
        self.charged.insert(attempt);
        match self.phase {
            Phase::Charging | Phase::Reconciling if awaited => Phase::Selling,
            Phase::Failing => Phase::Cancelling,
            phase => phase,
        }
    }

    /// What a change of phase asks of the stock shards.
    fn ask(&mut self, before: Phase, after: Phase) -> Vec<(ShardId, What)> {
        let what = match after {
            Phase::Selling => What::Sell,
            Phase::Cancelling if before == Phase::Selling => What::Return,
            Phase::Cancelling if before == Phase::Failing => return Vec::new(),
            Phase::Rejecting | Phase::Expiring | Phase::Failing | Phase::Cancelling => What::Release,
            Phase::Reserving | Phase::Charging | Phase::Reconciling | Phase::Refunding | Phase::Ended(_) => {
                return Vec::new();
            }
        };
        let mut whom = self.participants();
        if what == What::Release {
            whom.retain(|shard| !self.refused.contains(shard));
        }
        self.awaiting = whom.iter().copied().collect();
        whom.into_iter().map(|shard| (shard, what)).collect()
    }

    fn view_now(&self, version: u32, updated: Time) -> View {
        let status = self.phase.status();
        let undone = status.is_end() || matches!(status, Status::Cancelling | Status::Refunding);
        let total = self.total;
        View {
            status,
            reason: self.reason.filter(|_| undone),
            total,
            currency: if total.is_some() { self.currencies.first().copied() } else { self.body.currency() },
            prices: if total.is_some() { self.prices.iter().map_while(|price| *price).collect() } else { Vec::new() },
            version,
            updated,
        }
    }
}
