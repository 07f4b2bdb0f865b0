//! Performing what the machine of a call asks for.
//!
//! What the caller and the clock notice is done before the machine can take another event, so that two at once
//! cannot change places: an old timer would leave the caller in silence. What goes to the database comes after.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use relay_core::call::{Effect, Event, Speech, Spoken, Voicemail};
use relay_core::relay_frame::Outgoing;
use tokio::sync::mpsc::error::TrySendError;

use super::{FRAME_QUEUE, LiveCall, State};
use crate::app::App;
use crate::observability::events;
use crate::services::calls;
use crate::services::transcripts::Line;

/// What is done after the machine was let go.
pub(super) enum Aside {
    Write(Line),
    Store(Voicemail),
}

impl LiveCall {
    /// Lets the machine take an event, and performs what follows from it.
    pub(crate) async fn take(self: &Arc<Self>, app: &App, event: Event) {
        let aside = {
            let mut state = self.state();
            let moment = state.moment(app);
            let effects = state.machine.handle(event, &moment);
            self.perform(app, &mut state, effects)
        };
        self.perform_aside(app, aside).await;
    }

    /// Lets the agent speak. `None`: nobody has answered the call yet.
    pub(super) fn try_to_say(&self, app: &App, speech: &Speech) -> Option<(Spoken, Vec<Aside>)> {
        let mut state = self.state();
        state.opened?;
        let moment = state.moment(app);
        let (spoken, effects) = state.machine.speak(speech.clone(), &moment);
        Some((spoken, self.perform(app, &mut state, effects)))
    }

    fn perform(&self, app: &App, state: &mut State, effects: Vec<Effect>) -> Vec<Aside> {
        let mut aside = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(frame) => send(state, frame),
                Effect::HangUp => send(state, Outgoing::End { handoff_data: None }),
                Effect::WakeAgent => self.changed(),
                Effect::WakeAt(at) => {
                    let moment = at.zip(state.opened).map(|(at, opened)| opened + at);
                    self.timer.send_replace(moment);
                }
                Effect::Record(turn) => {
                    let position = self.position.fetch_add(1, Ordering::Relaxed);
                    let session = self.session_id.clone();
                    aside.extend(write(app, Line::Turn { session, position, turn }));
                }
                Effect::CutShort { id, heard_until } => {
                    aside.extend(write(app, Line::CutShort { turn: id, heard_until }));
                }
                Effect::StoreVoicemail(voicemail) => {
                    state.storing += 1;
                    aside.push(Aside::Store(voicemail));
                }
            }
        }
        aside
    }

    pub(super) async fn perform_aside(self: &Arc<Self>, app: &App, aside: Vec<Aside>) {
        for step in aside {
            match step {
                Aside::Write(line) => app.transcripts.write(line).await,
                Aside::Store(voicemail) => {
                    app.tasks.spawn(store(app.clone(), Arc::clone(self), voicemail));
                }
            }
        }
    }
}

/// At once, so that lines keep their order; only a full queue is waited for.
fn write(app: &App, line: Line) -> Option<Aside> {
    app.transcripts.try_write(line).map(Aside::Write)
}

/// Hands a frame to the socket, or keeps it for the next one. A socket that does not read is given up.
fn send(state: &mut State, frame: Outgoing) {
    let Some(frames) = &state.frames else { return keep(state, frame) };
    match frames.try_send(Box::new(frame)) {
        Ok(()) => (),
        Err(TrySendError::Full(_)) => state.frames = None,
        Err(TrySendError::Closed(frame)) => keep(state, *frame),
    }
}

/// What was lost with one socket is said over the next. A filler is not: the pause that it bridges is over by then.
pub(super) fn keep(state: &mut State, frame: Outgoing) {
    let is_filler = matches!(frame, Outgoing::Text { preemptible: Some(true), .. });
    if !is_filler && state.unsent.len() < FRAME_QUEUE {
        state.unsent.push(frame);
    }
}

/// Stores a voicemail and tells the machine, which asks for one at a time. Boxed, because that leads back here.
fn store(app: App, call: Arc<LiveCall>, voicemail: Voicemail) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let stored = calls::store_voicemail(&app, &call, voicemail).await;
        if let Err(problem) = &stored {
            events::failed_inside("store a voicemail", problem);
        }
        call.take(&app, Event::VoicemailStored { ok: stored.is_ok() }).await;
        let was_last = {
            let mut state = call.state();
            state.storing -= 1;
            state.storing == 0 && state.is_over()
        };
        if was_last {
            announce_voicemail(&app, &call).await;
        }
    })
}

/// The call is over, so what was left until then is all.
pub(super) async fn announce_voicemail(app: &App, call: &LiveCall) {
    if let Err(problem) = calls::announce_voicemail(app, &call.session_id).await {
        // The row is there; the next start of the relay announces it.
        events::failed_inside("announce a voicemail", &problem);
    }
}
