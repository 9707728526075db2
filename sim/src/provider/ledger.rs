//! What the provider knows to be true: whose money it took and gave back, and whom it told what.

use std::collections::BTreeMap;

use orderlane_core::limits::ATTEMPTS_MAX;
use orderlane_core::{Currency, OrderId};

/// What became of the money of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// The request was made and has not reached the provider.
    Lost,
    /// Taken.
    Charged,
    /// Refused.
    Declined,
    /// A look-up did not find the attempt: it took no money and never will.
    Blocked,
}

/// One attempt of an order to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What it costs, minor units; `None` when it was looked up and never asked for, because the process died in between.
    pub price: Option<(u64, Currency)>,
    /// How often the charge was asked for.
    pub requests: u32,
    /// What became of it.
    pub money: Money,
    /// Whether anybody was told that it took no money.
    pub told: bool,
    /// Whether it took the money after a look-up had not found it.
    pub late: bool,
    /// How often its money was asked back.
    pub refund_requests: u32,
    /// Whether its money is given back.
    pub refunded: bool,
}

impl Attempt {
    /// Minor units that it took.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.price.filter(|_| self.money == Money::Charged).map_or(0, |(amount, _)| amount)
    }
}

/// The truth about all orders. What is asked against the rules is an error, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    attempts: BTreeMap<(OrderId, u8), Attempt>,
    mails: BTreeMap<OrderId, u64>,
}

impl Ledger {
    /// Every attempt, by order and number.
    pub fn iter(&self) -> impl Iterator<Item = (OrderId, u8, &Attempt)> {
        self.attempts.iter().map(|((order, attempt), known)| (*order, *attempt, known))
    }

    /// The attempts of an order, by number.
    pub fn attempts(&self, order: OrderId) -> impl Iterator<Item = (u8, &Attempt)> {
        self.attempts.range((order, 0)..=(order, u8::MAX)).map(|((_, attempt), known)| (*attempt, known))
    }

    /// One attempt.
    #[must_use]
    pub fn attempt(&self, order: OrderId, attempt: u8) -> Option<&Attempt> {
        self.attempts.get(&(order, attempt))
    }

    /// Minor units that the provider has of an order: taken and not given back.
    #[must_use]
    pub fn net(&self, order: OrderId) -> u64 {
        self.attempts(order)
            .filter_map(|(_, known)| known.price.filter(|_| known.keeps()))
            .map(|(amount, _)| amount)
            .sum()
    }

    /// How many attempts of an order have their money taken and not given back.
    #[must_use]
    pub fn charges_kept(&self, order: OrderId) -> usize {
        self.attempts(order).filter(|(_, known)| known.keeps()).count()
    }

    /// Mails that went to the customer of an order; more than one is allowed.
    #[must_use]
    pub fn mails(&self, order: OrderId) -> u64 {
        self.mails.get(&order).copied().unwrap_or(0)
    }

    /// A charge is asked for. Gives what is known of the attempt; a new one is `Lost` until the provider decides.
    pub(super) fn request_charge(
        &mut self,
        order: OrderId,
        attempt: u8,
        amount: u64,
        currency: Currency,
    ) -> Result<Money, String> {
        self.check_turn(order, attempt)?;
        let price = (amount, currency);
        if let Some((other, known)) = self.attempts(order).find(|(_, known)| !known.may_cost(price)) {
            return Err(format!("order {order}: attempt {attempt} costs {price:?}, attempt {other} {known:?}"));
        }
        let known = self.attempts.entry((order, attempt)).or_insert(Attempt::NEW);
        known.price = Some(price);
        known.requests += 1;
        Ok(known.money)
    }

    /// The provider decides on a charge that reached it. Decided once, kept for good.
    pub(super) fn decide(&mut self, order: OrderId, attempt: u8, money: Money) {
        let known = self.known(order, attempt);
        assert!(known.money == Money::Lost, "a charge is decided once");
        known.money = money;
    }

    /// The attempt is looked up, and what never reached the provider is blocked. True when it was on its way until now.
    pub(super) fn look_up(&mut self, order: OrderId, attempt: u8) -> bool {
        let known = self.attempts.entry((order, attempt)).or_insert(Attempt::NEW);
        let lost = known.money == Money::Lost;
        if lost {
            known.money = Money::Blocked;
        }
        lost && known.requests > 0
    }

    /// There are so many attempts, and none before the one before it is known to have taken nothing.
    pub(super) fn check_turn(&self, order: OrderId, attempt: u8) -> Result<(), String> {
        if attempt == 0 || attempt > ATTEMPTS_MAX {
            return Err(format!("order {order}: attempt {attempt}, there are 1 to {ATTEMPTS_MAX}"));
        }
        if attempt > 1 && !self.attempt(order, attempt - 1).is_some_and(|before| before.told) {
            return Err(format!("order {order}: attempt {attempt} while the outcome of the one before is unknown"));
        }
        Ok(())
    }

    /// Takes the money of an attempt that was blocked, against all promises.
    pub(super) fn take_late(&mut self, order: OrderId, attempt: u8) {
        let known = self.known(order, attempt);
        if known.money == Money::Blocked {
            known.money = Money::Charged;
            known.late = true;
        }
    }

    /// Somebody is told that the attempt took no money.
    pub(super) fn tell(&mut self, order: OrderId, attempt: u8) {
        self.known(order, attempt).told = true;
    }

    /// A refund is asked for.
    pub(super) fn request_refund(
        &mut self,
        order: OrderId,
        attempt: u8,
        amount: u64,
        currency: Currency,
    ) -> Result<(), String> {
        match self.attempts.get_mut(&(order, attempt)) {
            Some(known) if known.money == Money::Charged && known.price == Some((amount, currency)) => {
                known.refund_requests += 1;
                Ok(())
            }
            known => Err(format!("order {order}: a refund of {amount} {currency:?} for attempt {attempt}, {known:?}")),
        }
    }

    /// Gives the money back, once.
    pub(super) fn refund(&mut self, order: OrderId, attempt: u8) {
        self.known(order, attempt).refunded = true;
    }

    pub(super) fn mail(&mut self, order: OrderId) {
        *self.mails.entry(order).or_default() += 1;
    }

    fn known(&mut self, order: OrderId, attempt: u8) -> &mut Attempt {
        self.attempts.get_mut(&(order, attempt)).expect("the attempt was asked for")
    }
}

impl Attempt {
    const NEW: Attempt = Attempt {
        price: None,
        requests: 0,
        money: Money::Lost,
        told: false,
        late: false,
        refund_requests: 0,
        refunded: false,
    };

    fn keeps(&self) -> bool {
        self.money == Money::Charged && !self.refunded
    }

    fn may_cost(&self, price: (u64, Currency)) -> bool {
        self.price.is_none_or(|known| known == price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orderlane_core::ShardId;

    fn order() -> OrderId {
        OrderId::new(ShardId(0), 7)
    }

    fn eur() -> Currency {
        Currency::parse("EUR").expect("a currency")
    }

    #[test]
    fn no_second_attempt_before_the_first_is_known_to_have_taken_nothing() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.request_charge(order(), 1, 500, eur()), Ok(Money::Lost));
        assert!(ledger.look_up(order(), 1) && !ledger.look_up(order(), 1));
        assert!(ledger.request_charge(order(), 2, 500, eur()).is_err(), "nobody was told");
        ledger.tell(order(), 1);
        assert_eq!(ledger.request_charge(order(), 2, 500, eur()), Ok(Money::Lost));
        ledger.decide(order(), 2, Money::Charged);
        assert_eq!(ledger.request_charge(order(), 2, 500, eur()), Ok(Money::Charged), "one charge a key");
        assert_eq!((ledger.net(order()), ledger.charges_kept(order())), (500, 1));
        ledger.take_late(order(), 1);
        assert_eq!(ledger.net(order()), 1000);
        assert!(ledger.request_charge(order(), 4, 500, eur()).is_err(), "there are three attempts");
    }

    #[test]
    fn an_attempt_whose_process_died_before_it_was_made_is_looked_up_and_takes_nothing() {
        let mut ledger = Ledger::default();
        assert!(!ledger.look_up(order(), 1), "nothing was on its way");
        assert_eq!(ledger.request_charge(order(), 1, 500, eur()), Ok(Money::Blocked));
        assert_eq!(ledger.net(order()), 0);
    }

    #[test]
    fn an_amount_is_the_same_every_time() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.request_charge(order(), 1, 500, eur()), Ok(Money::Lost));
        assert!(ledger.request_charge(order(), 1, 501, eur()).is_err());
        ledger.decide(order(), 1, Money::Charged);
        assert!(ledger.request_refund(order(), 1, 499, eur()).is_err());
        assert!(ledger.request_refund(order(), 1, 500, Currency::parse("USD").expect("a currency")).is_err());
    }

    #[test]
    fn money_that_was_taken_goes_back_once_and_no_other() {
        let mut ledger = Ledger::default();
        assert!(ledger.request_refund(order(), 1, 500, eur()).is_err(), "never asked for");
        assert_eq!(ledger.request_charge(order(), 1, 500, eur()), Ok(Money::Lost));
        assert!(ledger.request_refund(order(), 1, 500, eur()).is_err(), "never taken");
        ledger.decide(order(), 1, Money::Charged);
        for _ in 0..2 {
            assert_eq!(ledger.request_refund(order(), 1, 500, eur()), Ok(()));
            ledger.refund(order(), 1);
            assert_eq!(ledger.net(order()), 0);
        }
    }
}
