//! Invariant 4: every order in the log is one that a client asked for, before it was created, and that was not refused.

use std::collections::BTreeMap;

use orderlane_core::Event;

use super::{Check, End, Placement, ensure, placements};

/// Its name.
pub const NAME: &str = "no-order-without-request";

pub(super) fn at_end(end: &End<'_>) -> Check {
    let mut asked: BTreeMap<(&str, &str), Vec<Placement<'_>>> = BTreeMap::new();
    for placement in placements(end.history).filter(|placement| !placement.is_refused()) {
        let scope = (placement.placing.customer.as_str(), placement.placing.key.as_str());
        asked.entry(scope).or_default().push(placement);
    }
    for (shard, log) in end.logs.iter() {
        for (entry, sequence) in log.iter().zip(1_u64..) {
            let Event::OrderCreated { order, body, .. } = &entry.event else { continue };
            let known = asked.get(&(body.customer(), body.key())).is_some_and(|asked| {
                asked.iter().any(|placement| {
                    placement.operation.invoked <= entry.decided
                        && placement.matches(body)
                        && (end.caller)(placement.operation.client).subject == body.subject()
                })
            });
            ensure(known, || format!("nobody asked for {order}, event {sequence} of shard {shard}: {body:?}"))?;
        }
    }
    Ok(())
}
