//! The tests of the whole system, in one binary.

mod accounts;
mod calls;
mod docs;
mod edge;
mod inbox;
mod ipc;
mod layers;
mod messages;
mod process;
mod providers;
mod provisioning;
mod tools;
mod webhooks;
