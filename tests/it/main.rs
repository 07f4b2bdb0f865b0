//! The tests of the whole system, in one binary.

mod edge;
mod layers;
mod providers;
