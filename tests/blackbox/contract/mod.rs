//! api.md, route by route.

mod access;
mod actuator;
mod batch;
mod cancel;
mod catalogue;
mod exposition;
mod list;
mod order;
mod replay;
