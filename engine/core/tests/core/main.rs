//! The core against tables, against a naive model, and against random schedules with crashes.

mod cold;
mod cuts;
mod model;
mod sagas;
mod schedules;
mod world;
