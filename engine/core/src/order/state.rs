//! One order: its body and where its saga is. Changes in [`Order::apply`] only.

use smallvec::SmallVec;

use crate::body::OrderBody;
use crate::digest::Digest;
use crate::event::{Event, Prices, Reason, StockAnswer};
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::links::Links;
use crate::message::Message;
use crate::reply::{OrderView, Status};
use crate::saga::{Answer, Stage, Trigger, answer};

/// A price that is not known yet.
const PRICE_UNKNOWN: u64 = u64::MAX;

/// The stock shards of an order, in the order of their first lines. A participant's place in it is its bit in the sets below.
pub(crate) type Participants = SmallVec<[ShardId; 4]>;

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) body: OrderBody,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    pub(crate) deadline: Time,
    pub(crate) total: Option<u64>,
    pub(crate) currency: Option<Currency>,
    pub(crate) stage: Stage,
    /// Why it ended badly or is about to; the end is the one that belongs to it.
    pub(crate) reason: Option<Reason>,
    pub(crate) version: u32,
    /// One a line.
    pub(crate) prices: Prices,
    /// Participants whose answer is awaited.
    pub(crate) awaiting: u64,
    /// Participants that hold lines.
    held: u64,
    /// Participants that refused.
    refused: u64,
    /// The gravest refusal of a participant.
    pub(crate) refusal: Option<Reason>,
    /// Whether participants named different currencies.
    pub(crate) currencies_differ: bool,
    /// The last attempt made, from 1; 0 before the first.
    pub(crate) attempt: u8,
    /// Whether the last attempt's outcome is known.
    pub(crate) settled: bool,
    /// Whether the last attempt was left without an answer.
    pub(crate) unknown: bool,
    /// Attempts that took the money, whose money is asked back, whose money is back: bit `attempt - 1`.
    pub(crate) charged: u8,
    pub(crate) refunding: u8,
    pub(crate) refunded: u8,
    /// Whether the customer is yet to be told of the end.
    pub(crate) notify: bool,
    /// The number of the customer's order before this one, plus 1; 0 for the first.
    pub(crate) previous: u64,
    /// How often the call under way has been tried again. Not state.
    pub(crate) tries: u8,
}

impl Order {
    pub(crate) fn new(body: OrderBody, now: Time, deadline: Time, previous: u64) -> Order {
        let prices = smallvec::smallvec![PRICE_UNKNOWN; body.line_count()];
        let mut order = Order {
            body,
            created_at: now,
            updated_at: now,
            deadline,
            total: None,
            currency: None,
            stage: Stage::Reserving,
            reason: None,
            version: 1,
            prices,
            awaiting: 0,
            held: 0,
            refused: 0,
            refusal: None,
            currencies_differ: false,
            attempt: 0,
            settled: true,
            unknown: false,
            charged: 0,
            refunding: 0,
            refunded: 0,
            notify: false,
            previous,
            tries: 0,
        };
        order.awaiting = all_of(&order.participants());
        order
    }

    pub(crate) fn participants(&self) -> Participants {
        let mut participants = Participants::new();
        for line in self.body.lines() {
            if !participants.contains(&line.shard) {
                participants.push(line.shard);
            }
        }
        participants
    }

    /// Whether the money of attempt `attempt` is there and not asked back.
    pub(crate) fn money_kept(&self) -> u8 {
        self.charged & !self.refunding
    }

    /// Whether all money that was asked back is back.
    pub(crate) fn refunds_done(&self) -> bool {
        self.refunding == self.refunded
    }

    /// What the table says to an event that the outside or another shard may cause.
    pub(crate) fn answer(&self, trigger: Trigger) -> Answer {
        answer(self.stage, trigger)
    }

    pub(crate) fn payment_trigger(&self, attempt: u8) -> Trigger {
        if attempt == self.attempt && !self.settled { Trigger::PaymentCompleted } else { Trigger::PaymentSurplus }
    }

    /// Applies an event of the saga (not `OrderCreated`) and queues the messages that follow from it.
    ///
    /// # Panics
    /// When the table says that the event cannot come here: the engine or the stored log is broken.
    pub(crate) fn apply(&mut self, order: OrderId, now: Time, event: &Event, links: &mut Links) {
        let trigger = self.trigger_of(event);
        let before = self.stage;
        let after = match answer(before, trigger) {
            Answer::Go(next) => next,
            Answer::Stay => before,
            Answer::Void | Answer::Never => panic!("order {order}: {event:?} cannot happen in {before:?}"),
        };
        self.note(event);
        self.enter(order, before, after, links);
        self.stage = after;
        if after.status() != before.status() {
            self.version += 1;
            self.updated_at = now;
        }
    }

    fn trigger_of(&self, event: &Event) -> Trigger {
        match event {
            Event::StockAnswered { .. } => Trigger::StockAnswered,
            Event::InventoryReserved { .. } => Trigger::InventoryReserved,
            Event::InventoryRejected { .. } => Trigger::InventoryRejected,
            Event::PaymentRequested { .. } => Trigger::PaymentRequested,
            Event::PaymentUnknown { .. } => Trigger::PaymentUnknown,
            Event::PaymentNotFound { .. } => Trigger::PaymentNotFound,
            Event::PaymentCompleted { attempt, .. } => self.payment_trigger(*attempt),
            Event::PaymentFailed { .. } => Trigger::PaymentFailed,
            Event::CancelRequested { .. } => Trigger::CancelRequested,
            Event::HoldExpired { .. } => Trigger::HoldExpired,
            Event::StockRestored { .. } => Trigger::StockRestored,
            Event::StockSaleConfirmed { .. } => Trigger::StockSaleConfirmed,
            Event::RefundRequested { .. } => Trigger::RefundRequested,
            Event::RefundCompleted { .. } => Trigger::RefundCompleted,
            Event::OrderCompleted { .. } => Trigger::OrderCompleted,
            Event::OrderRejected { .. } => Trigger::OrderRejected,
            Event::OrderFailed { .. } => Trigger::OrderFailed,
            Event::OrderExpired { .. } => Trigger::OrderExpired,
            Event::OrderCancelled { .. } => Trigger::OrderCancelled,
            Event::NotificationSent { .. } => Trigger::NotificationSent,
            Event::OrderCreated { .. }
            | Event::ProductPut { .. }
            | Event::StockAdjusted { .. }
            | Event::AdjustmentRefused { .. }
            | Event::StockOpened { .. }
            | Event::StockReserved { .. }
            | Event::StockRefused { .. }
            | Event::StockSold { .. }
            | Event::StockReleased { .. }
            | Event::StockTombstoned { .. }
            | Event::StockReturned { .. }
            | Event::TellsTaken { .. }
            | Event::TellsDelivered { .. } => unreachable!("not an event of a saga under way: {event:?}"),
        }
    }

    /// The facts that an event brings, whatever it means for the stage.
    fn note(&mut self, event: &Event) {
        match event {
            Event::StockAnswered { shard, answer, .. } => self.note_answer(*shard, answer),
            Event::InventoryReserved { total, currency, .. } => {
                self.total = Some(*total);
                self.currency = Some(*currency);
            }
            Event::InventoryRejected { reason, total, .. } => {
                self.reason = Some(*reason);
                self.total = *total;
            }
            Event::PaymentRequested { attempt, .. } => {
                self.attempt = *attempt;
                self.settled = false;
                self.unknown = false;
                self.tries = 0;
            }
            Event::PaymentUnknown { .. } => self.unknown = true,
            Event::PaymentNotFound { .. } => self.settled = true,
            Event::PaymentCompleted { attempt, .. } => {
                self.settled |= *attempt == self.attempt;
                self.charged |= bit_of(*attempt);
            }
            Event::PaymentFailed { reason, .. } => {
                self.settled = true;
                if self.stage != Stage::Cancelling {
                    self.reason = Some(*reason);
                }
            }
            Event::CancelRequested { .. } => self.reason = Some(Reason::Cancelled),
            Event::HoldExpired { .. } => self.reason = Some(Reason::HoldExpired),
            Event::StockRestored { shard, .. } | Event::StockSaleConfirmed { shard, .. } => {
                self.awaiting &= !self.bit_of_participant(*shard);
            }
            Event::RefundRequested { attempt, .. } => {
                self.refunding |= bit_of(*attempt);
                self.tries = 0;
            }
            Event::RefundCompleted { attempt, .. } => self.refunded |= bit_of(*attempt),
            Event::OrderCompleted { .. } => self.notify = true,
            Event::NotificationSent { .. } => self.notify = false,
            _ => {}
        }
    }

    fn note_answer(&mut self, shard: ShardId, answer: &StockAnswer) {
        let bit = self.bit_of_participant(shard);
        self.awaiting &= !bit;
        match answer.refusal {
            None => self.held |= bit,
            Some(reason) => {
                self.refused |= bit;
                self.refusal = Some(self.refusal.map_or(reason, |known| known.min(reason)));
            }
        }
        if answer.currency.is_some() {
            self.currencies_differ |= self.currency.is_some() && self.currency != answer.currency;
            self.currency = self.currency.or(answer.currency);
        }
        let mut prices = answer.prices.iter();
        for (line, price) in self.body.lines().zip(&mut self.prices) {
            if line.shard == shard {
                *price = prices.next().copied().unwrap_or(PRICE_UNKNOWN);
            }
        }
    }

    /// What the change of stage asks of the stock shards.
    fn enter(&mut self, order: OrderId, before: Stage, after: Stage, links: &mut Links) {
        if before == after {
            return;
        }
        let participants = self.participants();
        match after {
            Stage::Rejecting => self.ask_back(order, self.held, &participants, links),
            Stage::Failing => self.ask_back(order, all_of(&participants), &participants, links),
            Stage::Selling => {
                self.awaiting = all_of(&participants);
                participants.iter().for_each(|shard| links.tell(*shard, Message::Sell { order }));
            }
            Stage::Cancelling if before == Stage::Selling => {
                self.awaiting = all_of(&participants);
                for shard in &participants {
                    links.tell(*shard, Message::Return { order, body: self.body.clone() });
                }
            }
            // Asked back when the payment failed.
            Stage::Cancelling if before == Stage::Failing => {}
            // Whoever has refused holds nothing; whoever has not answered may.
            Stage::Cancelling | Stage::Expiring => {
                self.ask_back(order, all_of(&participants) & !self.refused, &participants, links);
            }
            Stage::Reserving
            | Stage::Charging
            | Stage::Reconciling
            | Stage::Refunding
            | Stage::Completed
            | Stage::Rejected
            | Stage::PaymentFailed
            | Stage::Expired
            | Stage::Cancelled => {}
        }
    }

    fn ask_back(&mut self, order: OrderId, from: u64, participants: &Participants, links: &mut Links) {
        self.awaiting = from;
        for (place, shard) in participants.iter().enumerate() {
            if from & (1 << place) != 0 {
                links.tell(*shard, Message::Release { order, deadline: self.deadline });
            }
        }
    }

    fn bit_of_participant(&self, shard: ShardId) -> u64 {
        let place = self.participants().iter().position(|known| *known == shard);
        1 << place.expect("only participants of an order answer for it")
    }

    /// The sum of all lines, when every price is known.
    pub(crate) fn total_known(&self) -> Option<u64> {
        self.body.lines().zip(&self.prices).try_fold(0_u64, |sum, (line, price)| {
            let price = (*price != PRICE_UNKNOWN).then_some(*price)?;
            sum.checked_add(price.checked_mul(u64::from(line.quantity))?)
        })
    }

    pub(crate) fn view(&self, order: OrderId) -> OrderView {
        let status = self.stage.status();
        let shown = self.total.filter(|_| status != Status::Pending);
        OrderView {
            order,
            body: self.body.clone(),
            status,
            reason: self.reason.filter(|_| status.is_end() || matches!(status, Status::Cancelling | Status::Refunding)),
            total: shown,
            currency: if shown.is_some() { self.currency } else { self.body.currency() },
            prices: if shown.is_some() { self.prices.clone() } else { Prices::new() },
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        digest.bytes(self.body.as_bytes());
        for word in [
            self.created_at.0,
            self.updated_at.0,
            self.deadline.0,
            self.total.map_or(u64::MAX, |total| total),
            self.awaiting,
            self.held,
            self.refused,
            self.previous,
            u64::from(self.version),
        ] {
            digest.word(word);
        }
        let small = [
            self.stage as u8,
            self.reason.map_or(0, |reason| reason as u8),
            self.refusal.map_or(0, |reason| reason as u8),
            self.attempt,
            self.charged,
            self.refunding,
            self.refunded,
            u8::from(self.settled) | u8::from(self.unknown) << 1 | u8::from(self.notify) << 2,
        ];
        digest.word(u64::from_le_bytes(small));
        self.prices.iter().for_each(|price| digest.word(*price));
    }
}

fn all_of(participants: &Participants) -> u64 {
    if participants.len() == 64 { u64::MAX } else { (1 << participants.len()) - 1 }
}

/// The bit of a 1-based attempt.
pub(crate) fn bit_of(attempt: u8) -> u8 {
    1 << (attempt - 1)
}
