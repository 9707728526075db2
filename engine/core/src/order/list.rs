//! Pages of orders, newest first: those in memory, and between them those that the archive has.

use super::{Order, Orders, may_see};
use crate::cold::ColdPage;
use crate::ids::{OrderId, Time};
use crate::input::ListQuery;
use crate::limits::{LIST_SCAN_MAX, PAGE_MAX};
use crate::reply::OrderPage;

/// The way through the orders in memory.
#[derive(Clone, Copy)]
enum Way {
    /// Along a customer's chain.
    Chain,
    /// By number.
    All,
}

impl Orders {
    /// A page. It looks at [`LIST_SCAN_MAX`] orders at most, so it may be short and still have a next one.
    pub(crate) fn page(&self, query: &ListQuery, cold: ColdPage) -> OrderPage {
        let mut page = OrderPage::default();
        let (way, mut next) = self.start(query);
        let floor = cold.reached.map_or(0, |(_, number)| number);
        let end = cold.reached.map(|(time, number)| (time, self.id(number)));
        let mut archived = cold.orders.into_iter().peekable();
        let mut looked = 0;
        loop {
            let stored = archived.next_if(|(id, _)| next.is_none_or(|number| id.number() >= number));
            let (id, at) = if let Some((id, record)) = stored {
                let at = record.created_at();
                // Memory wins, and shows it when its turn comes; only an order that is in no chain has none.
                if self.get(id.number()).is_none() && is_before(at, id, query.before) && record.matches(query) {
                    page.orders.push(record.view(id));
                } else if let Some(order) = self.get(id.number()).filter(|_| next != Some(id.number()))
                    && is_before(at, id, query.before)
                    && matches(order, query)
                {
                    page.orders.push(order.view(id));
                } else {
                    continue;
                }
                (id, at)
            } else if let Some(number) = next.filter(|number| *number >= floor) {
                let (id, order) =
                    (self.id(number), self.get(number).expect("a way leads to orders that are in memory"));
                next = self.before(number, order, way);
                if is_before(order.created_at, id, query.before) && matches(order, query) {
                    page.orders.push(order.view(id));
                }
                (id, order.created_at)
            } else {
                // What is older in memory comes after what is older in the archive, too.
                page.reached = end;
                return page;
            };
            looked += 1;
            if page.orders.len() == query.limit.min(PAGE_MAX) || looked == LIST_SCAN_MAX {
                let is_more = next.is_some() || archived.peek().is_some() || end.is_some();
                page.reached = is_more.then_some((at, id));
                return page;
            }
        }
    }

    fn start(&self, query: &ListQuery) -> (Way, Option<u64>) {
        let all = || (Way::All, self.newest_before(query.before));
        let Some(customer) = &query.customer else { return all() };
        if let Some((number, order)) = self.cursor_order(customer, query.before) {
            return (Way::Chain, self.previous_of(number, order));
        }
        // The cursor's order has left: its place is found from the newest on, if that is not far.
        let mut next = self.newest_of(customer);
        for _ in 0..LIST_SCAN_MAX {
            let Some(number) = next else { return (Way::Chain, None) };
            let order = self.get(number).expect("a chain names orders that are in memory");
            if is_before(order.created_at, self.id(number), query.before) {
                return (Way::Chain, next);
            }
            next = self.previous_of(number, order);
        }
        all()
    }

    /// The order that a cursor names, if it is in memory, in its chain, and this customer's: the page begins behind it.
    fn cursor_order(&self, customer: &str, before: Option<(Time, OrderId)>) -> Option<(u64, &Order)> {
        let (_, id) = before.filter(|(_, id)| *id == self.id(id.number()))?;
        let order = self.get(id.number()).filter(|order| order.body.customer() == customer)?;
        self.is_linked(id.number()).then_some((id.number(), order))
    }

    /// Without a customer the start is found by halving: creation times never go back.
    fn newest_before(&self, before: Option<(Time, OrderId)>) -> Option<u64> {
        let Some((time, _)) = before else { return self.last_before(self.len()) };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let found = self.next_at(middle).filter(|number| *number < high);
            let is_older = |number| self.get(number).is_some_and(|order| order.created_at <= time);
            match found.filter(|number| is_older(*number)) {
                Some(number) => low = number + 1,
                None => high = middle,
            }
        }
        self.last_before(low)
    }

    fn before(&self, number: u64, order: &Order, way: Way) -> Option<u64> {
        match way {
            Way::Chain => self.previous_of(number, order),
            Way::All => self.last_before(number),
        }
    }
}

fn is_before(created_at: Time, id: OrderId, before: Option<(Time, OrderId)>) -> bool {
    before.is_none_or(|cursor| (created_at, id) < cursor)
}

fn matches(order: &Order, query: &ListQuery) -> bool {
    query.customer.as_ref().is_none_or(|customer| order.body.customer() == &**customer)
        && query.status.is_none_or(|status| order.stage.status() == status)
        && may_see(order, &query.reader)
}
