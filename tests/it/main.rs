//! The tests of the whole system, in one binary.

mod accounts;
mod calls;
mod credentials;
mod docs;
mod edge;
mod identity;
mod inbox;
mod ipc;
mod layers;
mod limits;
mod messages;
mod process;
mod providers;
mod provisioning;
mod recipients;
mod roads;
mod tools;
mod webhooks;
