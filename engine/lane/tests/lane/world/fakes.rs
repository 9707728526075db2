//! The ends of a lane that a test holds in its hand: commit, prefetch, clients, outside.

use super::*;

#[derive(Clone)]
pub struct Appended {
    pub shard: ShardId,
    pub sequence: Sequence,
    pub event: Event,
}

/// The test's side of a commit.
#[derive(Default)]
pub struct CommitState {
    pub open: Vec<Appended>,
    /// Bytes of the open batch, when the test does not want the count of its events.
    pub open_bytes: Option<usize>,
    pub in_flight: Option<Vec<Appended>>,
    pub starts: usize,
    pub finished: usize,
    pub idles: usize,
    /// What was said to be needed no longer.
    pub covered: Vec<(ShardId, Sequence)>,
    /// Commits complete when they are looked at first.
    pub at_once: bool,
    pub on_idle: Option<Hook>,
    pub(super) last: [Sequence; SHARDS as usize],
    pub(super) outcome: Option<Result<Receipt, CommitError>>,
    pub(super) waker: Option<Waker>,
}

impl CommitState {
    pub fn started_and_finished(&self) -> (usize, usize) {
        (self.starts, self.finished)
    }

    pub fn open_names(&self) -> Vec<String> {
        self.open.iter().map(|appended| name(&appended.event)).collect()
    }
}

pub(super) struct TestCommit {
    pub(super) state: Rc<RefCell<CommitState>>,
    pub(super) ledger: Rc<Ledger>,
}

impl Commit for TestCommit {
    fn append(&mut self, shard: ShardId, first: Sequence, _time: Time, events: &[Event]) {
        let state = &mut *self.state.borrow_mut();
        assert_eq!(first, state.last[shard.index()] + 1, "the events of a shard are dense");
        for (sequence, event) in (first..).zip(events) {
            self.ledger.check_append(event);
            state.last[shard.index()] = sequence;
            state.open.push(Appended { shard, sequence, event: event.clone() });
        }
    }

    fn open_bytes(&self) -> usize {
        let state = self.state.borrow();
        state.open_bytes.unwrap_or(state.open.len() * 100)
    }

    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static> {
        let state = &mut *self.state.borrow_mut();
        assert!(state.in_flight.is_none(), "one commit is in flight at a time");
        if state.open.is_empty() {
            return None;
        }
        self.ledger.note(format!("start {:?}", state.open_names()));
        state.starts += 1;
        state.open_bytes = None;
        state.in_flight = Some(std::mem::take(&mut state.open));
        let (state, ledger) = (self.state.clone(), self.ledger.clone());
        Some(poll_fn(move |cx| {
            let state = &mut *state.borrow_mut();
            let outcome = state.outcome.take().or_else(|| state.at_once.then(|| Ok(receipt())));
            let Some(outcome) = outcome else {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let batch = state.in_flight.take().expect("polled while in flight");
            if outcome.is_ok() {
                ledger.note("durable".to_owned());
                ledger.make_durable(&batch);
            }
            Poll::Ready(outcome)
        }))
    }

    fn finish(&mut self, receipt: Receipt) {
        assert_eq!(receipt.buffer.len(), 8, "what was lent out comes back");
        self.state.borrow_mut().finished += 1;
    }

    fn idle(&mut self) {
        let hook = {
            let mut state = self.state.borrow_mut();
            assert!(state.in_flight.is_none() && state.open.is_empty(), "idle: nothing open, nothing in flight");
            state.idles += 1;
            state.on_idle.take()
        };
        hook.into_iter().for_each(|hook| hook());
    }

    fn covered(&mut self, upto: &[(ShardId, Sequence)]) {
        self.state.borrow_mut().covered.extend(upto);
    }
}

pub(super) fn receipt() -> Receipt {
    Receipt { buffer: vec![0; 8], sync_micros: Some(300) }
}

/// The test's side of a prefetch.
#[derive(Default)]
pub struct PrefetchState {
    /// Whether a batch needs a read: the order that it needs is not in memory.
    pub missing: Option<OrderId>,
    /// The requests (by number) of each batch that was looked at.
    pub seen: Vec<Vec<u32>>,
    pub reads: usize,
    pub finished: usize,
    pub is_pending: bool,
    /// What the next read finds.
    pub finds: Vec<(usize, Cold)>,
    /// What the prefetch was told of the commits, without repetitions.
    pub commits: Vec<Commits>,
    /// What the next housekeeping says.
    pub covers: Vec<(ShardId, Sequence)>,
    /// How many times in a row the housekeeping has more to do.
    pub more: usize,
    pub holds: bool,
    pub(super) waker: Option<Waker>,
}

pub(super) struct TestPrefetch(pub(super) Rc<RefCell<PrefetchState>>);

impl Prefetch for TestPrefetch {
    type Found = usize;

    fn start(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[Shard],
    ) -> Option<impl Future<Output = usize> + 'static> {
        assert!(!shards.is_empty());
        let state = &mut *self.0.borrow_mut();
        assert!(!state.is_pending, "one read is in flight at a time");
        let numbers: Vec<u32> = inputs.iter().filter_map(|(_, input)| number(input)).collect();
        if !numbers.is_empty() {
            state.seen.push(numbers);
        }
        let missing = state.missing?;
        let needs = |input: &Input| matches!(input, Input::Request { request: Request::GetOrder { order, .. }, .. } if *order == missing);
        if !inputs.iter().any(|(_, input)| needs(input)) {
            return None;
        }
        state.missing = None;
        state.reads += 1;
        state.is_pending = true;
        let (read, shared) = (state.reads, self.0.clone());
        Some(poll_fn(move |cx| {
            let state = &mut *shared.borrow_mut();
            if state.is_pending {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(read)
        }))
    }

    fn finish(&mut self, found: usize) -> Vec<(usize, Cold)> {
        let state = &mut *self.0.borrow_mut();
        assert_eq!(found, state.reads);
        state.finished += 1;
        std::mem::take(&mut state.finds)
    }

    fn tend(&mut self, _now: Time, shards: &mut [Shard], commits: Commits) -> Tended {
        assert!(!shards.is_empty());
        let state = &mut *self.0.borrow_mut();
        if state.commits.last() != Some(&commits) {
            state.commits.push(commits);
        }
        let more = state.more > 0;
        state.more = state.more.saturating_sub(1);
        Tended { more, worked: true, covered: std::mem::take(&mut state.covers) }
    }

    fn holds_commits(&self) -> bool {
        self.0.borrow().holds
    }
}

pub(super) fn number(input: &Input) -> Option<u32> {
    match input {
        Input::Request { reply_to, .. } => Some(reply_to.request),
        Input::Tell { .. } | Input::Acknowledged { .. } | Input::Outcome { .. } => None,
    }
}

#[derive(Default)]
pub struct TestClients {
    pub answers: RefCell<Vec<(u32, Reply)>>,
    pub flushes: Cell<usize>,
    pub(super) unflushed: Cell<usize>,
    pub on_flush: RefCell<Option<Hook>>,
    pub(super) ledger: Rc<Ledger>,
}

impl TestClients {
    pub fn numbers(&self) -> Vec<u32> {
        self.answers.borrow().iter().map(|(number, _)| *number).collect()
    }

    pub fn answered(&self, request: u32) -> bool {
        self.numbers().contains(&request)
    }

    #[track_caller]
    pub fn answer(&self, request: u32) -> Reply {
        let answers = self.answers.borrow();
        let answer = answers.iter().find(|(number, _)| *number == request);
        answer.expect("the request was answered").1.clone()
    }
}

impl Clients for TestClients {
    fn deliver(&self, to: ReplyTo, reply: Reply) {
        self.ledger.check_reply(&reply);
        self.ledger.note(format!("answer {}", to.request));
        self.unflushed.set(self.unflushed.get() + 1);
        self.answers.borrow_mut().push((to.request, reply));
    }

    fn flush(&self) {
        self.flushes.set(self.flushes.get() + 1);
        self.unflushed.set(0);
        let hook = self.on_flush.borrow_mut().take();
        hook.into_iter().for_each(|hook| hook());
    }
}

/// The test's side of the outside.
#[derive(Default)]
pub struct OutsideState {
    pub calls: Vec<Asked>,
    /// Outcomes that are due at a time.
    pub script: Vec<(Time, OrderId, Outcome)>,
    /// Calls succeed after this pause, without the test.
    pub answers_after: Option<u64>,
    pub on_poll_timeout: Option<Hook>,
}

pub(super) struct TestOutside {
    pub(super) state: Rc<RefCell<OutsideState>>,
    pub(super) ledger: Rc<Ledger>,
}

impl Outside for TestOutside {
    fn perform(&mut self, now: Time, call: Asked, _port: &Port) {
        self.ledger.check_call(&call);
        self.ledger.note(format!("{:?} {}", call.call, call.order));
        let state = &mut *self.state.borrow_mut();
        if let Some(pause) = state.answers_after {
            state.script.push((now.after_micros(pause), call.order, success(call.call)));
        }
        state.calls.push(call);
    }

    fn poll(&mut self, now: Time, port: &Port) {
        let script = std::mem::take(&mut self.state.borrow_mut().script);
        let (due, later): (Vec<_>, Vec<_>) = script.into_iter().partition(|(at, _, _)| *at <= now);
        self.state.borrow_mut().script = later;
        due.into_iter().for_each(|(_, order, outcome)| report(port, order, outcome));
    }

    fn poll_timeout(&self) -> Option<Time> {
        let hook = self.state.borrow_mut().on_poll_timeout.take();
        hook.into_iter().for_each(|hook| hook());
        self.state.borrow().script.iter().map(|(at, _, _)| *at).min()
    }

    fn calls_open(&self) -> usize {
        self.state.borrow().script.len()
    }
}

pub(super) fn success(call: Call) -> Outcome {
    match call {
        Call::Charge { attempt, .. } | Call::Reconcile { attempt } => Outcome::Charged { attempt },
        Call::Refund { attempt, .. } => Outcome::Refunded { attempt },
        Call::Notify => Outcome::Notified,
    }
}
