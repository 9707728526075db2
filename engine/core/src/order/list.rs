//! Pages of orders, newest first.

use super::{Order, Orders, may_see};
use crate::ids::{OrderId, ShardId, Time};
use crate::input::ListQuery;
use crate::limits::{LIST_SCAN_MAX, PAGE_MAX};
use crate::reply::OrderPage;

impl Orders {
    /// A page. It looks at [`LIST_SCAN_MAX`] orders at most, so it may be short and still have a next one.
    pub(crate) fn page(&self, shard: ShardId, query: &ListQuery) -> OrderPage {
        let mut page = OrderPage::default();
        let mut next = self.start(shard, query);
        let mut looked = 0;
        while let Some(number) = next {
            let order = self.get(number).expect("an index names orders that exist");
            let id = OrderId::new(shard, number);
            next = self.before(number, order, query);
            looked += 1;
            if is_before(order, id, query.before) && matches(order, query) {
                page.orders.push(order.view(id));
            }
            if page.orders.len() == query.limit.min(PAGE_MAX) || looked == LIST_SCAN_MAX {
                page.reached = next.map(|_| (order.created_at, id));
                break;
            }
        }
        page
    }

    fn start(&self, shard: ShardId, query: &ListQuery) -> Option<u64> {
        match &query.customer {
            Some(customer) => match self.cursor_order(shard, customer, query.before) {
                Some(order) => order.previous.checked_sub(1),
                None => self.newest_of(customer),
            },
            None => self.newest_before(query.before),
        }
    }

    /// The order that a cursor names, if it is one of this customer's: the page begins behind it.
    fn cursor_order(&self, shard: ShardId, customer: &str, before: Option<(Time, OrderId)>) -> Option<&Order> {
        let (_, id) = before.filter(|(_, id)| id.shard() == shard)?;
        self.get(id.number()).filter(|order| order.body.customer() == customer)
    }

    /// Without a customer the start is found by halving: creation times never go back.
    fn newest_before(&self, before: Option<(Time, OrderId)>) -> Option<u64> {
        let Some((time, _)) = before else { return self.len().checked_sub(1) };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).expect("below the length").created_at <= time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    fn before(&self, number: u64, order: &Order, query: &ListQuery) -> Option<u64> {
        if query.customer.is_some() { order.previous.checked_sub(1) } else { number.checked_sub(1) }
    }
}

fn is_before(order: &Order, id: OrderId, before: Option<(Time, OrderId)>) -> bool {
    before.is_none_or(|cursor| (order.created_at, id) < cursor)
}

fn matches(order: &Order, query: &ListQuery) -> bool {
    query.customer.as_ref().is_none_or(|customer| order.body.customer() == &**customer)
        && query.status.is_none_or(|status| order.stage.status() == status)
        && may_see(order, &query.reader)
}
