//! One request in progress and what it waits for.

use std::rc::Rc;

use orderlane_core::{Reply, Time};

use crate::auth::Principal;
use crate::batch::Batch;
use crate::connection::context::Context;
use crate::connection::gather::Gather;
use crate::http::{Correlation, Head, TraceId};
use crate::metrics::method_index;
use crate::problem::Problem;
use crate::routes::Endpoint;

/// What an answer needs to know of its request.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) endpoint: Endpoint,
    /// Index into [`crate::metrics::METHODS`].
    pub(crate) method: usize,
    pub(crate) is_head: bool,
    pub(crate) version_minor: u8,
    pub(crate) started: Time,
    pub(crate) correlation: Correlation,
    pub(crate) trace: Option<TraceId>,
    pub(crate) principal: Option<Rc<Principal>>,
    /// `Prefer: wait=N` that was taken.
    pub(crate) preference: Option<u64>,
    pub(crate) if_none_match: Option<Box<[u8]>>,
}

impl Tag {
    /// Of a request whose head is well formed.
    pub(crate) fn of(head: &Head<'_>, now: Time, context: &mut Context) -> Tag {
        Tag {
            endpoint: Endpoint::Unknown,
            method: method_index(head.method),
            is_head: head.method == "HEAD",
            version_minor: head.version_minor,
            started: now,
            correlation: Correlation::accept(head.correlation).unwrap_or_else(|| context.correlation()),
            trace: TraceId::accept(head.traceparent),
            principal: None,
            preference: None,
            if_none_match: head.if_none_match.once().map(Box::from),
        }
    }

    /// Of bytes that are no well-formed head.
    pub(crate) fn of_broken(now: Time, context: &mut Context) -> Tag {
        Tag {
            endpoint: Endpoint::Unknown,
            method: method_index(""),
            is_head: false,
            version_minor: 1,
            started: now,
            correlation: context.correlation(),
            trace: None,
            principal: None,
            preference: None,
            if_none_match: None,
        }
    }

    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(TraceId::as_str)
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        self.principal.as_deref().map(|principal| &*principal.subject)
    }
}

/// A refusal with what its head needs.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) problem: Problem,
    /// Methods of the path, with 405.
    pub(crate) allow: Option<&'static str>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused { problem, allow: None }
    }
}

/// A body that is complete.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) link: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What a request is answered with; becomes bytes when its turn comes.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Refused(Box<Refused>),
    Document(Box<Document>),
    /// `OPTIONS *`
    Methods,
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) enum Work {
    /// One reply; with `until`, also for the end of the saga.
    Waiting { until: Option<Time> },
    /// The saga has not ended; this is the answer when it does not by `until`.
    Held { reply: Reply, until: Time },
    /// Replies of several shards.
    Gather(Box<Gather>),
    /// Items of a batch.
    Batch(Box<Batch>),
    /// Its turn.
    Answered(Answer),
}

/// One request in progress. Replies name it by its numbers, `first` and those after it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) tag: Tag,
    /// Nothing follows its answer.
    pub(crate) close: bool,
    pub(crate) work: Work,
}

impl Exchange {
    /// Takes the reply to its number `first + index`. A reply that nobody waits for any more is dropped.
    pub(crate) fn deliver(&mut self, index: u32, reply: Reply) {
        match &mut self.work {
            Work::Waiting { until } => {
                self.work = match (reply, *until) {
                    (reply @ Reply::Placed { .. }, Some(until)) => Work::Held { reply, until },
                    (Reply::Order(view), Some(until)) if !view.status.is_end() => {
                        Work::Held { reply: Reply::Order(view), until }
                    }
                    (reply, _) => Work::Answered(Answer::Reply(reply)),
                };
            }
            Work::Held { .. } => {
                if let Reply::Ended { .. } = reply {
                    self.work = Work::Answered(Answer::Reply(reply));
                }
            }
            Work::Gather(gather) => {
                if let Some(answer) = gather.deliver(index, reply) {
                    self.work = Work::Answered(answer);
                }
            }
            Work::Batch(batch) => batch.deliver(index, reply),
            Work::Answered(_) => {}
        }
    }
}
