//! Which use case serves which call.

use std::future::ready;
use std::pin::Pin;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use shared::ipc::{CallContext, reply};
use shared::protocol::{
    ApiError, Call, ConfirmRead, Confirmed, DecideApproval, GetBilling, GetChannelStatus, GetMessages,
    GetStatus, GetUsage, ListenToCall, MakeCall, MessagePage, Ping, Request, SendMessage, SendVoiceMessage,
    SimulateAct, SimulateAnswer, SimulateCall, SimulateHear, SimulateText, SimulatedOutbox, Speak,
    TransferCall, WatchNumber,
};
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::observability::events;
use crate::services::identity::{self, Admin, Caller, Scope};
use crate::services::{
    ServiceError, approvals, billing, calls, channels, credentials, inbox, live_calls, messages,
    provisioning, simulator, status, usage, voice_messages,
};

type Answer = Result<Box<RawValue>, ApiError>;

/// Serves a call by a use case that takes an [`Admin`].
macro_rules! operate {
    ($session:ident, $context:ident, $call:ident, $use_case:path) => {{
        let work = |admin: Admin, call| async move { $use_case(&$session.app, &admin, call).await };
        $session.operate($context, $call, work).await
    }};
}

impl Session {
    /// Serves one call, if the session is still good. A new call does not compile until it has an arm here. Each is
    /// boxed: a call that waits then costs the memory of its own kind, not that of the largest.
    pub(super) async fn dispatch(&self, request: Box<Request>, context: &CallContext) -> Answer {
        let (app, cancelled) = (&self.app, &context.cancelled);
        let caller = &told("Caller", Box::pin(self.caller(context)).await)?;
        match *request {
            Request::Ping(call) => reply::<Ping>(Ok(status::ping(app, &caller.agent, call))),
            Request::GetStatus(_) => reply::<GetStatus>(Ok(status::report(app))),
            Request::SendMessage(call) => serve::<SendMessage>(messages::send(app, caller, call)).await,
            Request::GetMessages(call) => {
                serve::<GetMessages>(self.get_messages(caller, call, cancelled)).await
            }
            Request::ConfirmRead(call) => serve::<ConfirmRead>(self.confirm_read(caller, call)).await,
            Request::MakeCall(call) => serve::<MakeCall>(calls::place(app, caller, call)).await,
            Request::Speak(call) => {
                serve::<Speak>(self.still_mine(Box::pin(live_calls::speak(app, caller, call, cancelled))))
                    .await
            }
            Request::ListenToCall(call) => {
                serve::<ListenToCall>(
                    self.still_mine(Box::pin(live_calls::listen(app, caller, call, cancelled))),
                )
                .await
            }
            Request::SendVoiceMessage(call) => {
                serve::<SendVoiceMessage>(voice_messages::send(app, caller, call)).await
            }
            Request::TransferCall(call) => serve::<TransferCall>(calls::transfer(app, caller, call)).await,
            Request::GetChannelStatus(_) => {
                serve::<GetChannelStatus>(channels::status(app, &caller.agent)).await
            }
            Request::GetUsage(call) => {
                serve::<GetUsage>(usage::dashboard(app, &self.scope(context), call)).await
            }
            Request::GetBilling(call) => {
                serve::<GetBilling>(billing::summary(app, &self.scope(context), call)).await
            }
            Request::DecideApproval(call) => {
                serve::<DecideApproval>(approvals::decide_at_host(app, &self.principal, call)).await
            }
            Request::ProvisionChannels(call) => operate!(self, context, call, provisioning::provision),
            Request::DeprovisionChannels(call) => operate!(self, context, call, provisioning::deprovision),
            Request::OnboardCustomer(call) => operate!(self, context, call, provisioning::onboard),
            Request::RegisterProvider(call) => operate!(self, context, call, credentials::register),
            Request::SetAgentLimits(call) => operate!(self, context, call, billing::set_limits),
            Request::SetBillingConfig(call) => operate!(self, context, call, billing::set_config),
            Request::SimulateText(call) => serve::<SimulateText>(simulator::text(app, call)).await,
            Request::SimulatedOutbox(call) => {
                serve::<SimulatedOutbox>(ready(simulator::outbox(app, &call))).await
            }
            Request::SimulateCall(call) => serve::<SimulateCall>(simulator::call(app, call)).await,
            Request::WatchNumber(call) => serve::<WatchNumber>(ready(simulator::watch(app, call))).await,
            Request::SimulateAnswer(call) => serve::<SimulateAnswer>(simulator::answer(app, call)).await,
            Request::SimulateAct(call) => serve::<SimulateAct>(ready(simulator::act(app, &call))).await,
            Request::SimulateHear(call) => serve::<SimulateHear>(simulator::hear(app, call)).await,
        }
    }

    /// For whom the call is made.
    async fn caller(&self, context: &CallContext) -> Result<Caller, ServiceError> {
        identity::still_good(&self.app, &self.principal).await?;
        identity::caller(&self.app, &self.principal, self.key, &context.envelope)
    }

    /// What was heard while a token was revoked is for nobody.
    async fn still_mine<T>(
        &self,
        work: Pin<Box<impl Future<Output = Result<T, ServiceError>> + Send>>,
    ) -> Result<T, ServiceError> {
        let heard = work.await?;
        Box::pin(identity::still_good(&self.app, &self.principal)).await?;
        Ok(heard)
    }

    fn scope(&self, context: &CallContext) -> Scope {
        identity::scope(&self.principal, &context.envelope)
    }

    /// Serves what only an admin may ask, or who brings a person's yes.
    fn operate<'a, C, Fut>(
        &'a self,
        context: &'a CallContext,
        call: C,
        work: impl FnOnce(Admin, C) -> Fut + Send + 'a,
    ) -> BoxFuture<'a, Answer>
    where
        C: Call + Clone + Send + Sync + 'a,
        Fut: Future<Output = Result<C::Reply, ServiceError>> + Send + 'a,
    {
        Box::pin(async move {
            let request = call.clone().into();
            let admitted = identity::admit(&self.app, &self.principal, &request, &context.envelope);
            let admin = told(C::NAME, admitted.await)?;
            serve::<C>(work(admin, call)).await
        })
    }

    async fn get_messages(
        &self,
        caller: &Caller,
        call: GetMessages,
        cancelled: &CancellationToken,
    ) -> Result<MessagePage, ServiceError> {
        let (app, agent) = (&self.app, &caller.agent);
        let page = inbox::get(app, agent, call, cancelled).await?;
        // While it waited, its token may have been revoked.
        let good = Box::pin(identity::still_good(app, &self.principal)).await;
        if let Some(lease) = &page.lease {
            if good.is_err() || cancelled.is_cancelled() {
                // Nobody will get this answer.
                Box::pin(inbox::release(app, agent, vec![lease.clone()])).await?;
            } else {
                self.leases().insert(lease.clone(), agent.clone());
            }
        }
        good.map(|()| page)
    }

    async fn confirm_read(&self, caller: &Caller, call: ConfirmRead) -> Result<Confirmed, ServiceError> {
        match call {
            ConfirmRead::Messages { lease } => {
                // Only what this session was given: a lease's id is no secret.
                let agent = self.leases().get(&lease).cloned().ok_or(ServiceError::NotFound("lease"))?;
                inbox::confirm(&self.app, &agent, lease.clone()).await?;
                self.leases().remove(&lease);
            }
            ConfirmRead::Turns { call_sid, until } => {
                live_calls::confirm(&self.app, caller, &call_sid, &until);
            }
        }
        Ok(Confirmed {})
    }
}

/// Serves one call, in a box of its own from the beginning: an argument of an `async fn` has its room in the future as
/// long as that lives, and once more where it is awaited.
fn serve<'a, C: Call>(
    work: impl Future<Output = Result<C::Reply, ServiceError>> + Send + 'a,
) -> BoxFuture<'a, Answer> {
    let work = Box::pin(work);
    Box::pin(async move { reply::<C>(told(C::NAME, work.await)) })
}

/// Logs a failure where it is answered, and puts it in words.
fn told<T>(action: &str, result: Result<T, ServiceError>) -> Result<T, ApiError> {
    result.map_err(|problem| {
        events::answered_with_failure(action, &problem);
        problem.to_api_error()
    })
}
