//! Which use case serves which call.

use serde_json::value::RawValue;
use shared::ipc::reply;
use shared::protocol::{
    ApiError, ConfirmRead, Confirmed, GetMessages, GetStatus, ListenToCall, MakeCall, MessagePage, Ping,
    Pong, RelayStatus, Request, SendMessage, SimulateAct, SimulateAnswer, SimulateCall, SimulateHear,
    SimulateText, SimulatedOutbox, Speak, WatchNumber,
};
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::observability::events;
use crate::services::{ServiceError, calls, inbox, live_calls, messages, simulator, status};

impl Session {
    /// Serves one call. A new call does not compile until it has an arm here. Each is boxed: a call that waits
    /// then costs the memory of its own kind, not that of the largest.
    pub(super) async fn dispatch(
        &self,
        request: Request,
        cancelled: &CancellationToken,
    ) -> Result<Box<RawValue>, ApiError> {
        let (app, caller) = (&self.app, &self.caller);
        match request {
            Request::Ping(call) => reply::<Ping>(Ok(self.ping(call))),
            Request::GetStatus(_) => reply::<GetStatus>(Ok(self.status())),
            Request::SendMessage(call) => reply::<SendMessage>(told(
                "send_message",
                Box::pin(messages::send(app, &caller.agent, call)).await,
            )),
            Request::GetMessages(call) => {
                reply::<GetMessages>(told("get_messages", Box::pin(self.get_messages(call, cancelled)).await))
            }
            Request::ConfirmRead(call) => {
                reply::<ConfirmRead>(told("confirm_read", Box::pin(self.confirm_read(call)).await))
            }
            Request::MakeCall(call) => {
                reply::<MakeCall>(told("make_call", Box::pin(calls::place(app, caller, call)).await))
            }
            Request::Speak(call) => {
                reply::<Speak>(told("speak", Box::pin(live_calls::speak(app, caller, call, cancelled)).await))
            }
            Request::ListenToCall(call) => reply::<ListenToCall>(told(
                "listen",
                Box::pin(live_calls::listen(app, caller, call, cancelled)).await,
            )),
            Request::SimulateText(call) => {
                reply::<SimulateText>(told("simulate", Box::pin(simulator::text(app, call)).await))
            }
            Request::SimulatedOutbox(call) => {
                reply::<SimulatedOutbox>(told("simulate", simulator::outbox(app, &call)))
            }
            Request::SimulateCall(call) => {
                reply::<SimulateCall>(told("simulate", Box::pin(simulator::call(app, call)).await))
            }
            Request::WatchNumber(call) => reply::<WatchNumber>(told("simulate", simulator::watch(app, call))),
            Request::SimulateAnswer(call) => {
                reply::<SimulateAnswer>(told("simulate", Box::pin(simulator::answer(app, call)).await))
            }
            Request::SimulateAct(call) => reply::<SimulateAct>(told("simulate", simulator::act(app, &call))),
            Request::SimulateHear(call) => {
                reply::<SimulateHear>(told("simulate", Box::pin(simulator::hear(app, call)).await))
            }
        }
    }

    fn ping(&self, call: Ping) -> Pong {
        status::ping(&self.app, &self.caller.agent, call)
    }

    fn status(&self) -> RelayStatus {
        status::report(&self.app)
    }

    async fn get_messages(
        &self,
        call: GetMessages,
        cancelled: &CancellationToken,
    ) -> Result<MessagePage, ServiceError> {
        let (app, agent) = (&self.app, &self.caller.agent);
        let page = inbox::get(app, agent, call, cancelled).await?;
        if let Some(lease) = &page.lease {
            if cancelled.is_cancelled() {
                // Nobody will get this answer.
                inbox::release(app, agent, vec![lease.clone()]).await?;
            } else {
                self.leases().insert(lease.clone());
            }
        }
        Ok(page)
    }

    async fn confirm_read(&self, call: ConfirmRead) -> Result<Confirmed, ServiceError> {
        match call {
            ConfirmRead::Messages { lease } => {
                // Only what this session was given: a lease's id is no secret.
                if !self.leases().contains(&lease) {
                    return Err(ServiceError::NotFound("lease"));
                }
                inbox::confirm(&self.app, &self.caller.agent, lease.clone()).await?;
                self.leases().remove(&lease);
            }
            ConfirmRead::Turns { call_sid, until } => {
                live_calls::confirm(&self.app, &self.caller, &call_sid, &until);
            }
        }
        Ok(Confirmed {})
    }
}

/// Logs a failure where it is answered, and puts it in words.
fn told<T>(action: &str, result: Result<T, ServiceError>) -> Result<T, ApiError> {
    result.map_err(|problem| {
        events::answered_with_failure(action, &problem);
        problem.to_api_error()
    })
}
