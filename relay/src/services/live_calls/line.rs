//! The socket's side of a call.

use std::sync::Arc;

use relay_core::call::Event;
use relay_core::relay_frame::Outgoing;
use shared::ids::{AgentId, CallSid};
use shared::model::CallStatus;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::effects::keep;
use super::transfer::{Course, hand_over};
use super::{FRAME_QUEUE, LOST_AFTER, LiveCall, give_up, is_held, lock};
use crate::app::App;
use crate::services::{ServiceError, calls};

/// Why a socket gets no call.
#[derive(Debug, thiserror::Error)]
pub enum OpenProblem {
    #[error("there is no such call of this agent, or it is over")]
    NoCall,
    #[error("another socket holds this call")]
    Taken,
    #[error("the database failed")]
    Service(#[from] ServiceError),
}

/// What a socket gets for its call.
pub struct Socket {
    pub call: Arc<LiveCall>,
    /// To be sent, in this order.
    pub frames: mpsc::Receiver<Box<Outgoing>>,
    /// When [`Socket::time_is_up`] wants to be called.
    pub timer: watch::Receiver<Option<Instant>>,
    number: u64,
}

/// Gives the call that a `setup` frame names to its socket: only one socket at a time, only a call that a signed
/// webhook has announced.
pub async fn open(app: &App, agent: &AgentId, call_sid: &str) -> Result<Socket, OpenProblem> {
    let sid: CallSid = call_sid.parse().map_err(|_| OpenProblem::NoCall)?;
    let row = calls::find(app, agent, &sid).await?.filter(is_held);
    let row = row.ok_or(OpenProblem::NoCall)?;
    let call = app.live_calls.ensure(app, &row, &sid);
    let (sender, frames) = mpsc::channel(FRAME_QUEUE);
    let number = {
        let mut state = lock(&call.state);
        if state.frames.as_ref().is_some_and(|frames| !frames.is_closed()) {
            return Err(OpenProblem::Taken);
        }
        for frame in state.unsent.drain(..) {
            sender.try_send(Box::new(frame)).expect("no more is kept than the queue holds");
        }
        state.frames = Some(sender);
        if state.course == Course::Unclear {
            // Only a caller who is with us gets here.
            state.course = Course::Here;
        }
        state.status = CallStatus::InProgress;
        state.sockets += 1;
        state.opened.get_or_insert_with(Instant::now);
        state.sockets
    };
    call.take(app, Event::Setup).await;
    call.changed();
    Ok(Socket { timer: call.timer.subscribe(), call, frames, number })
}

impl Socket {
    /// Something came over the socket.
    pub async fn take(&self, app: &App, event: Event) {
        self.call.take(app, event).await;
    }

    /// The moment has come that `timer` named.
    pub async fn time_is_up(&self, app: &App) {
        // Once: the machine names the next moment, or none.
        self.call.timer.send_replace(None);
        self.call.take(app, Event::Timer).await;
    }

    /// The socket is gone. The call is over if no other comes for it soon; a caller who hung up is told by the
    /// carrier's callbacks at once.
    pub fn closed(mut self, app: &App) {
        {
            let mut state = lock(&self.call.state);
            if state.sockets == self.number {
                state.frames = None;
                while let Ok(frame) = self.frames.try_recv() {
                    keep(&mut state, *frame);
                }
            }
        }
        let app = app.clone();
        let tasks = app.tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(LOST_AFTER) => (),
                // The carrier asks again what to do, and finds the next relay.
                () = app.stop.cancelled() => return,
            }
            let lost = {
                let state = lock(&self.call.state);
                let is_last = state.sockets == self.number && !state.is_over();
                is_last.then_some(state.course)
            };
            match lost {
                Some(Course::Here) => Box::pin(give_up(&app, &self.call, CallStatus::Completed)).await,
                // The carrier's answer was lost, but it has taken the call from us: it was put through.
                Some(Course::Asked | Course::Unclear) => Box::pin(hand_over(&app, &self.call)).await,
                Some(Course::PutThrough) | None => {}
            }
        });
    }
}
