//! The tests of the whole system, in one binary.

mod edge;
mod inbox;
mod layers;
mod providers;
mod webhooks;
