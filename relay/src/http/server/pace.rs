//! How long a connection may still take: which phase it is in, and when that phase has to be over.
//!
//! The socket, the service and the answer's body tell what happens; the connection's task reads the deadline.
//! All of them run inside that one task, so the lock is never waited for. A deadline must never be moved by
//! a client that merely sends slowly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ServerLimits;

/// How long a client may take to notice that its connection is closed.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for a request's first byte.
    Idle,
    /// Reading a request's head.
    Head,
    /// From the end of the head to the end of the answer's body.
    Request,
    /// The answer is complete but not all of it is with the system yet.
    Answered,
    /// The socket belongs to a WebSocket.
    Upgraded,
    /// Waiting for the client to close its side.
    Closing,
}

#[derive(Debug)]
pub(super) struct Pace {
    limits: Arc<ServerLimits>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    deadline: Instant,
    /// When the server's stop cuts off everything.
    end: Option<Instant>,
}

impl Pace {
    /// A connection whose first byte has come.
    pub(super) fn new(limits: Arc<ServerLimits>) -> Self {
        let state = State { phase: Phase::Head, deadline: Instant::now() + limits.head, end: None };
        Self { limits, state: Mutex::new(state) }
    }

    pub(super) fn deadline(&self) -> Instant {
        let state = self.state();
        state.end.map_or(state.deadline, |end| end.min(state.deadline))
    }

    pub(super) fn bytes_arrived(&self) {
        self.advance(Phase::Idle, Phase::Head, self.limits.head);
    }

    pub(super) fn request_began(&self) {
        self.state().enter(Phase::Request, self.limits.request);
    }

    /// The request's deadline still holds: a slow reader has to take the rest in time.
    pub(super) fn answer_ended(&self) {
        let mut state = self.state();
        if state.phase == Phase::Request {
            state.phase = Phase::Answered;
        }
    }

    pub(super) fn all_written(&self) {
        self.advance(Phase::Answered, Phase::Idle, self.limits.idle);
    }

    /// From here on the socket has no deadline of ours, once its connection is handed over.
    pub(super) fn upgraded(&self) {
        self.state().phase = Phase::Upgraded;
    }

    /// Whether to wait for the client's end of the connection. Whoever holds a WebSocket decides that itself,
    /// and a server that stops has nothing to say to an idle client.
    pub(super) fn closing(&self) -> bool {
        let mut state = self.state();
        match state.phase {
            Phase::Upgraded => false,
            Phase::Idle if state.end.is_some() => false,
            Phase::Closing => true,
            Phase::Idle | Phase::Head | Phase::Request | Phase::Answered => {
                state.enter(Phase::Closing, LINGER);
                true
            }
        }
    }

    pub(super) fn stop(&self) {
        self.state().end = Some(Instant::now() + self.limits.drain);
    }

    fn advance(&self, from: Phase, to: Phase, limit: Duration) {
        let mut state = self.state();
        if state.phase == from {
            state.enter(to, limit);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase, limit: Duration) {
        self.phase = phase;
        self.deadline = Instant::now() + limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that has had its first answer.
    fn idle() -> Pace {
        let pace = Pace::new(Arc::default());
        pace.request_began();
        pace.answer_ended();
        pace.all_written();
        pace
    }

    #[test]
    fn an_idle_client_is_waited_for_when_its_connection_closes() {
        assert!(idle().closing());
    }

    #[test]
    fn an_idle_client_does_not_hold_up_the_stop() {
        let pace = idle();
        pace.stop();
        assert!(!pace.closing());
    }
}
