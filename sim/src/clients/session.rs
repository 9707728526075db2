//! One client's connection: it sends requests, with what may go wrong on purpose, and takes the answers in their order.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use serde_json::Value;

use crate::clients::Shared;
use crate::clients::ask::Ask;
use crate::clients::http::{Parsed, parse, parse_head};
use crate::clients::judge::{Verdict, judge};
use crate::executor::Executor;
use crate::faults::Fault;
use crate::history::{Answer, Asked};
use crate::net::ClientStream;
use crate::random::Random;

/// Between two attempts, microseconds at least and at most.
const BACKOFF_MICROS: (u64, u64) = (1_000, 300_000);
/// Without impatience: an answer that takes longer does not come.
const PATIENCE_MICROS_LONG: u64 = 20_000_000;
/// After it every byte that was written has arrived, if anything does.
const DELIVERY_MICROS: u64 = 40_000;

/// An answer that was found right.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) body: Value,
    pub(super) is_final: bool,
}

/// A client and its connection.
pub(super) struct Session {
    shared: Rc<Shared>,
    client: u16,
    random: Random,
    requests: u64,
    open: Option<Open>,
}

struct Open {
    stream: ClientStream,
    input: Vec<u8>,
}

/// Requests on their way: what was asked, its index in the history and its correlation.
type Sent<'a> = (&'a Ask, usize, String);

impl Session {
    pub(super) fn new(shared: Rc<Shared>, client: u16) -> Session {
        let random = shared.sim.random(&format!("client {client}"));
        Session { shared, client, random, requests: 0, open: None }
    }

    pub(super) fn executor(&self) -> &Executor {
        self.shared.sim.executor()
    }

    /// Closes the connection: the next request goes to any lane.
    pub(super) fn reconnect(&mut self) {
        self.open = None;
    }

    /// Asks until there is an answer, or gives up after silence while things go wrong.
    pub(super) async fn ask(&mut self, ask: &Ask, patience: u64, gives_up: bool) -> Option<Answered> {
        let first = self.exchange(&[ask], patience).await.pop().flatten();
        self.settle(ask, first, patience, gives_up).await
    }

    /// [`Session::ask`] after the first attempt.
    pub(super) async fn settle(
        &mut self,
        ask: &Ask,
        first: Option<Answered>,
        patience: u64,
        gives_up: bool,
    ) -> Option<Answered> {
        let (mut ask, mut answered) = (ask.clone(), first);
        loop {
            match answered {
                Some(answered) if answered.is_final => return Some(answered),
                None if gives_up && self.shared.sim.faults().is_active() => return None,
                Some(answered) => ask.drop_answered(&answered.body),
                None => {}
            }
            let backoff = self.random.between(BACKOFF_MICROS.0, BACKOFF_MICROS.1);
            self.executor().sleep(backoff).await;
            if self.shared.sim.faults().is_on(Fault::Retry) {
                self.shared.sim.faults().injected(Fault::Retry);
            }
            answered = self.exchange(&[&ask], patience).await.pop().flatten();
        }
    }

    /// Sends all, then takes the answers; `None` where none came.
    pub(super) async fn exchange(&mut self, asks: &[&Ask], patience: u64) -> Vec<Option<Answered>> {
        let mut answers: Vec<Option<Answered>> = vec![None; asks.len()];
        // Who is impatient sends things twice, and that is a fault of its own.
        let patience = if self.shared.sim.faults().is_on(Fault::Retry) { patience } else { PATIENCE_MICROS_LONG };
        let waits: u64 = asks.iter().map(|ask| ask.details.wait_seconds * 1_000_000).sum();
        let Some(mut open) = self.connection().await else { return answers };
        let faults = self.shared.sim.faults();
        let half = faults.draw(Fault::HalfRequest, &mut self.random);
        let leaves = !half && faults.draw(Fault::Disconnect, &mut self.random);
        let (sent, mut bytes) = self.invoke(asks);
        if half {
            let length = self.random.between(1, bytes.len() as u64 - 1) as usize;
            bytes.truncate(length);
        }
        let deadline = patience + waits;
        let executor = self.executor().clone();
        if half || leaves {
            let stay = self.random.below(5_000);
            let written = timeout(&executor, deadline, open.stream.write(&bytes)).await;
            executor.sleep(stay).await;
            drop(open);
            executor.sleep(DELIVERY_MICROS).await;
            if matches!(written, Some(Ok(()))) {
                self.shared.sim.faults().observed(if half { Fault::HalfRequest } else { Fault::Disconnect });
            }
            return answers;
        }
        let receiving = self.shared.clone().converse(&mut open, &bytes, &sent, &mut answers);
        if timeout(&executor, deadline, receiving).await == Some(true) {
            self.open = Some(open);
        }
        answers
    }

    async fn connection(&mut self) -> Option<Open> {
        match self.open.take() {
            Some(open) => Some(open),
            None => {
                let stream = self.shared.network.connect().await.ok()?;
                Some(Open { stream, input: Vec::new() })
            }
        }
    }

    /// Notes all in the history, and gives their bytes.
    fn invoke<'a>(&mut self, asks: &[&'a Ask]) -> (Vec<Sent<'a>>, Vec<u8>) {
        let (mut sent, mut bytes) = (Vec::new(), Vec::new());
        for ask in asks {
            self.requests += 1;
            let correlation = format!("{}-{}", self.client, self.requests);
            let moment = self.executor().tick();
            let mut history = self.shared.history.borrow_mut();
            let index = history.invoke(self.client, ask.number, ask.asked.clone(), moment);
            history.operations[index].details = ask.details.clone();
            history.operations[index].details.correlation.clone_from(&correlation);
            drop(history);
            self.shared.sim.note("ask", &[u64::from(self.client), u64::from(ask.number), index as u64]);
            bytes.extend(ask.bytes(&correlation));
            sent.push((*ask, index, correlation));
        }
        (sent, bytes)
    }
}

impl Shared {
    /// Writes, then reads one answer after the other; true when the connection can be used again.
    async fn converse(
        self: Rc<Shared>,
        open: &mut Open,
        bytes: &[u8],
        sent: &[Sent<'_>],
        answers: &mut [Option<Answered>],
    ) -> bool {
        if open.stream.write(bytes).await.is_err() {
            // What was written before it broke may still be handled, and no answer can be read.
            return false;
        }
        for (place, (ask, index, correlation)) in sent.iter().enumerate() {
            let parsed = loop {
                let read = if ask.details.is_head { parse_head } else { parse };
                match read(&open.input) {
                    Ok(Some((parsed, length))) => {
                        open.input.drain(..length);
                        break parsed;
                    }
                    Ok(None) => {}
                    Err(text) => {
                        self.violate(ask, &text);
                        return false;
                    }
                }
                match open.stream.read(&mut open.input).await {
                    Ok(0) | Err(_) => return false,
                    Ok(_) => {}
                }
            };
            let close = parsed.close;
            answers[place] = self.take_answer(ask, *index, correlation, parsed);
            if place > 0 && answers[place].is_some() {
                self.met(Fault::Pipelining);
            }
            if close {
                return false;
            }
        }
        if !open.input.is_empty() {
            self.sim.violate("http", None, String::from("bytes behind the last answer"));
        }
        open.input.is_empty()
    }

    fn take_answer(&self, ask: &Ask, index: usize, correlation: &str, parsed: Parsed) -> Option<Answered> {
        let echoed = parsed.correlation.as_deref() == Some(correlation);
        let full = parsed.correlation.is_none() && parsed.status == 503;
        // A request that cannot be read has no correlation of its own; only its timeout happens to right requests.
        if !echoed && !full && parsed.status != 408 {
            self.violate(ask, &format!("the answer to {:?} instead of {correlation}", parsed.correlation));
            return None;
        }
        let (body, is_final) = match judge(ask, &parsed, self.sim.options().keys_expire()) {
            Ok(Verdict::Final(body)) => (body, true),
            Ok(Verdict::Again(body)) => (body, false),
            Ok(Verdict::Unknown) => return None,
            Err(text) => {
                self.violate(ask, &text);
                return None;
            }
        };
        let status = parsed.status;
        self.sim.note("answer", &[index as u64, u64::from(status), u64::from(parsed.replayed)]);
        let answer = Answer::Http { status, body: body.clone(), replayed: parsed.replayed };
        let moment = self.sim.executor().tick();
        self.history.borrow_mut().answer(index, answer, moment);
        self.meet(ask, &parsed, &body);
        self.remember(ask, &parsed, &body);
        Some(Answered { body, is_final })
    }

    /// What an answer says about the faults that the engine has met.
    fn meet(&self, ask: &Ask, parsed: &Parsed, body: &Value) {
        if parsed.replayed {
            self.met(Fault::Retry);
        }
        let items = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let overloaded = |item: &Value| item["code"] == "overloaded" || item["problem"]["code"] == "overloaded";
        if overloaded(body) || items.iter().any(overloaded) {
            self.met(Fault::InboxFull);
        }
        if ask.details.is_careless && parsed.status == 422 {
            self.met(Fault::CarelessKey);
        }
        if matches!(ask.asked, Asked::Cancel(_)) && parsed.status == 202 {
            self.met(Fault::CancelAnyTime);
        }
        if matches!(ask.asked, Asked::Invariants) && body["violations"].as_u64().is_some_and(|count| count > 0) {
            self.sim.violate("audit", None, format!("/v1/invariants: {body}"));
        }
    }

    fn met(&self, fault: Fault) {
        if self.sim.options().faults.has(fault) {
            self.sim.faults().observed(fault);
        }
    }

    fn violate(&self, ask: &Ask, text: &str) {
        self.sim.violate("http", None, format!("operation {}: {text}", ask.number));
    }
}

/// What the future gives, or `None` when that takes too long.
async fn timeout<T>(executor: &Executor, micros: u64, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut sleep) = (pin!(future), pin!(executor.sleep(micros)));
    poll_fn(|task| {
        if let Poll::Ready(value) = future.as_mut().poll(task) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(task).map(|()| None)
    })
    .await
}
