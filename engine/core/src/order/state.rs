//! One order: its body and where its saga is. Changes in [`Order::apply`] only.

use crate::body::OrderBody;
use crate::event::{Event, Prices, Reason, StockAnswer};
use crate::ids::{Currency, OrderId, ShardId, Time};
use crate::limits::LINES_MAX;
use crate::links::{Links, What};
use crate::reply::{OrderView, Status};
use crate::saga::{Answer, Stage, Trigger, answer};

/// A price or a total that is not known yet.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Stock shards of an order, each by the bit of its first line.
pub(crate) type Participants = u64;

/// The body is shared and immutable; all the rest is here, and small, because every event of a saga touches it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) body: OrderBody,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    pub(crate) deadline: Time,
    /// Low halves of the numbers of the orders before and after this one whose customers have the same hash; its own where
    /// there is none.
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) total: u64,
    /// One a line.
    pub(super) prices: Prices,
    /// All stock shards of the order.
    pub(super) participants: Participants,
    /// Those whose answer is awaited.
    pub(crate) awaiting: Participants,
    /// Those that refused.
    pub(super) refused: Participants,
    pub(crate) version: u32,
    pub(crate) currency: Option<Currency>,
    pub(crate) stage: Stage,
    /// Why it ended badly or is about to; the end is the one that belongs to it.
    pub(crate) reason: Option<Reason>,
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
    /// How often the call under way has been tried again. Not state.
    pub(crate) tries: u8,
    /// Whether the cut under way, or the one whose orders have not left yet, gave the archive the order as it still is. Not state.
    pub(crate) archiving: bool,
}

const _: () = assert!(size_of::<Order>() <= 128, "an order is two cache lines");

impl Order {
    pub(crate) fn new(body: OrderBody, now: Time, deadline: Time) -> Order {
        let prices = Prices::from_elem(UNKNOWN, body.line_count());
        let participants = participants_of(&body);
        Order {
            body,
            created_at: now,
            updated_at: now,
            deadline,
            previous: 0,
            next: 0,
            total: UNKNOWN,
            prices,
            participants,
            awaiting: participants,
            refused: 0,
            version: 1,
            currency: None,
            stage: Stage::Reserving,
            reason: None,
            refusal: None,
            currencies_differ: false,
            attempt: 0,
            settled: true,
            unknown: false,
            charged: 0,
            refunding: 0,
            refunded: 0,
            notify: false,
            tries: 0,
            archiving: false,
        }
    }

    /// Minor units, once known.
    pub(crate) fn total(&self) -> Option<u64> {
        (self.total != UNKNOWN).then_some(self.total)
    }

    /// The stock shards whose answer is awaited, in the order of their first lines.
    pub(crate) fn shards_awaited(&self) -> impl Iterator<Item = ShardId> {
        let lines = self.body.raw_lines().enumerate();
        lines.filter(|(index, _)| self.awaiting & (1 << index) != 0).map(|(_, line)| line.shard)
    }

    /// Whether the end of the hold would still change anything.
    pub(crate) fn can_expire(&self) -> bool {
        matches!(self.answer(Trigger::HoldExpired), Answer::Go(_))
    }

    /// Whether the money of attempt `attempt` is there and not asked back.
    pub(crate) fn money_kept(&self) -> u8 {
        self.charged & !self.refunding
    }

    /// Whether all money that was taken is back.
    pub(crate) fn money_is_back(&self) -> bool {
        self.money_kept() == 0 && self.refunding == self.refunded
    }

    /// Whether the saga has ended and nothing is owed: only money that was believed lost can still happen to the order.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let kept = u32::from(self.stage == Stage::Completed);
        self.stage.is_end()
            && !self.notify
            && self.settled
            && self.awaiting == 0
            && self.refunding == self.refunded
            && self.money_kept().count_ones() == kept
    }

    /// Units that the order bought, if it is complete.
    pub(crate) fn units_completed(&self) -> u64 {
        let is_complete = self.stage == Stage::Completed;
        if is_complete { self.body.raw_lines().map(|line| u64::from(line.quantity)).sum() } else { 0 }
    }

    /// What the table says to an event that the outside or another shard may cause.
    pub(crate) fn answer(&self, trigger: Trigger) -> Answer {
        answer(self.stage, trigger)
    }

    pub(crate) fn payment_trigger(&self, attempt: u8) -> Trigger {
        if attempt == self.attempt && !self.settled { Trigger::PaymentCompleted } else { Trigger::PaymentSurplus }
    }

    /// Applies an event of the saga (not `OrderCreated`), queues the messages that follow from it, and gives its name in the
    /// table.
    ///
    /// # Panics
    /// When the table says that the event cannot come here: the engine or the stored log is broken.
    pub(crate) fn apply(&mut self, order: OrderId, now: Time, event: &Event, links: &mut Links) -> Trigger {
        let before = self.stage;
        let trigger = self.note(event);
        let after = match answer(before, trigger) {
            Answer::Go(next) => next,
            Answer::Stay => before,
            Answer::Void | Answer::Never => panic!("order {order}: {event:?} cannot happen in {before:?}"),
        };
        if after == before {
            return trigger;
        }
        self.enter(order, before, after, links);
        self.stage = after;
        if after.status() != before.status() {
            self.version += 1;
            self.updated_at = now;
        }
        trigger
    }

    /// Notes the facts that an event brings, whatever it means for the stage, and gives its name in the table.
    #[inline]
    fn note(&mut self, event: &Event) -> Trigger {
        match event {
            Event::StockAnswered { shard, answer, .. } => {
                self.note_answer(*shard, answer);
                Trigger::StockAnswered
            }
            Event::InventoryReserved { total, currency, .. } => {
                self.total = *total;
                self.currency = Some(*currency);
                Trigger::InventoryReserved
            }
            Event::InventoryRejected { reason, total, .. } => {
                self.reason = Some(*reason);
                self.total = total.unwrap_or(UNKNOWN);
                Trigger::InventoryRejected
            }
            Event::PaymentRequested { attempt, .. } => {
                self.attempt = *attempt;
                self.settled = false;
                self.unknown = false;
                self.tries = 0;
                Trigger::PaymentRequested
            }
            Event::PaymentUnknown { .. } => {
                self.unknown = true;
                Trigger::PaymentUnknown
            }
            Event::PaymentNotFound { .. } => {
                self.settled = true;
                Trigger::PaymentNotFound
            }
            Event::PaymentCompleted { attempt, .. } => {
                let trigger = self.payment_trigger(*attempt);
                self.settled |= *attempt == self.attempt;
                self.charged |= bit_of(*attempt);
                trigger
            }
            Event::PaymentFailed { reason, .. } => {
                self.settled = true;
                if self.stage != Stage::Cancelling {
                    self.reason = Some(*reason);
                }
                Trigger::PaymentFailed
            }
            Event::CancelRequested { .. } => {
                self.reason = Some(Reason::Cancelled);
                Trigger::CancelRequested
            }
            Event::HoldExpired { .. } => {
                self.reason = Some(Reason::HoldExpired);
                Trigger::HoldExpired
            }
            Event::StockRestored { shard, .. } => {
                self.awaiting &= !self.bit_of_participant(*shard);
                Trigger::StockRestored
            }
            Event::StockSaleConfirmed { shard, .. } => {
                self.awaiting &= !self.bit_of_participant(*shard);
                Trigger::StockSaleConfirmed
            }
            Event::RefundRequested { attempt, .. } => {
                self.refunding |= bit_of(*attempt);
                self.tries = 0;
                Trigger::RefundRequested
            }
            Event::RefundCompleted { attempt, .. } => {
                self.refunded |= bit_of(*attempt);
                Trigger::RefundCompleted
            }
            Event::OrderCompleted { .. } => {
                self.notify = true;
                Trigger::OrderCompleted
            }
            Event::OrderRejected { .. } => Trigger::OrderRejected,
            Event::OrderFailed { .. } => Trigger::OrderFailed,
            Event::OrderExpired { .. } => Trigger::OrderExpired,
            Event::OrderCancelled { .. } => Trigger::OrderCancelled,
            Event::NotificationSent { .. } => {
                self.notify = false;
                Trigger::NotificationSent
            }
            Event::OrderCreated { .. }
            | Event::OrderRecalled { .. }
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

    fn note_answer(&mut self, shard: ShardId, answer: &StockAnswer) {
        let bit = self.bit_of_participant(shard);
        self.awaiting &= !bit;
        if let Some(reason) = answer.refusal {
            self.refused |= bit;
            self.refusal = Some(self.refusal.map_or(reason, |known| known.min(reason)));
        }
        if answer.currency.is_some() {
            self.currencies_differ |= self.currency.is_some() && self.currency != answer.currency;
            self.currency = self.currency.or(answer.currency);
        }
        let mut prices = answer.prices.iter();
        for (line, price) in self.body.raw_lines().zip(&mut self.prices) {
            if line.shard == shard {
                *price = prices.next().copied().unwrap_or(UNKNOWN);
            }
        }
    }

    /// What the change of stage asks of the stock shards.
    fn enter(&mut self, order: OrderId, before: Stage, after: Stage, links: &mut Links) {
        match after {
            Stage::Selling => self.ask(self.participants, order, What::Sell, links),
            Stage::Cancelling if before == Stage::Selling => self.ask(self.participants, order, What::Return, links),
            // Asked back when the payment failed.
            Stage::Cancelling if before == Stage::Failing => {}
            // Whoever has refused holds nothing; whoever has not answered may.
            Stage::Rejecting | Stage::Expiring | Stage::Failing | Stage::Cancelling => {
                self.ask(self.participants & !self.refused, order, What::Release, links);
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

    fn ask(&mut self, whom: Participants, order: OrderId, what: What, links: &mut Links) {
        self.awaiting = whom;
        self.shards_awaited().for_each(|shard| links.tell(shard, order, what.clone()));
    }

    fn bit_of_participant(&self, shard: ShardId) -> Participants {
        let first_line = self.body.raw_lines().position(|line| line.shard == shard);
        1 << first_line.expect("only participants of an order answer for it")
    }

    /// The sum of all lines, when every price is known.
    pub(crate) fn total_known(&self) -> Option<u64> {
        self.body.raw_lines().zip(&self.prices).try_fold(0_u64, |sum, (line, price)| {
            let price = (*price != UNKNOWN).then_some(*price)?;
            sum.checked_add(price.checked_mul(u64::from(line.quantity))?)
        })
    }

    pub(crate) fn view(&self, order: OrderId) -> OrderView {
        let status = self.stage.status();
        let shown = self.total().filter(|_| status != Status::Pending);
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
}

pub(super) fn participants_of(body: &OrderBody) -> Participants {
    let mut shards = [ShardId(0); LINES_MAX];
    let mut participants = 0;
    for (index, line) in body.raw_lines().enumerate() {
        if !shards[..index].contains(&line.shard) {
            participants |= 1 << index;
        }
        shards[index] = line.shard;
    }
    participants
}

/// The bit of a 1-based attempt.
pub(crate) fn bit_of(attempt: u8) -> u8 {
    1 << (attempt - 1)
}
