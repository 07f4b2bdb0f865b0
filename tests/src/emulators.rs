//! Stand-ins for the providers, on real sockets: each takes what the provider takes and fails as it is told to.

pub mod twilio;
