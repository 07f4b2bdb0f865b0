//! A person's yes, where the relay wants one. [`Server::confirm`] stands before every tool: if the relay answers
//! `approval_pending` and the host can ask its user, the user is asked.
//!
//! Before protocol 2026-07-28 the server asks while the call waits. Since then it answers that it needs input, and
//! the host makes the same call again with what the user said. The question is always the relay's own text, and a
//! yes is the relay's to take: nothing is approved here.

use std::collections::BTreeMap;
use std::time::Duration;

use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientResult, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, InputRequest, InputRequests, InputRequiredResult, InputResponses,
    ProtocolVersion, RequestStateCodec, SealOptions, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext};
use rmcp::{ErrorData, RoleServer};
use serde_json::json;
use shared::ids::ApprovalId;
use shared::protocol::{ApiError, DecideApproval, Decision, Envelope, ErrorCode};

use crate::arguments::InEnvelope;
use crate::failure::Failure;
use crate::relay::Action;
use crate::server::Server;
use crate::{host, tools};

/// The name of the question among those that a host is to answer.
const QUESTION: &str = "approve";

impl Action for DecideApproval {}

/// Something that the relay does only after a person has said yes.
struct Pending {
    approval_id: ApprovalId,
    error: ApiError,
}

/// How this host's user can be asked.
enum Asking {
    Never,
    /// While the call waits.
    AtOnce,
    /// By an answer that makes the host call again.
    ByAnswer,
}

/// Keeps what a host carries from one round to the next from being forged, or used for another call.
pub(crate) struct Seal(RequestStateCodec);

impl Server {
    /// Runs a tool, and asks the host's user if it needs a yes.
    pub(crate) async fn confirm(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(state) = request.request_state.take() {
            let said = request.input_responses.take().and_then(answered);
            return match self.seal.open(&state, &request) {
                Some(pending) => self.settle(pending, said, request, context).await,
                None => Ok(not_of_this_call().into_result().into()),
            };
        }
        let response = self.run(request.clone(), context.clone()).await?;
        let Some(pending) = Pending::in_response(&response) else { return Ok(response) };
        match asking(&context) {
            Asking::Never => Ok(response),
            Asking::AtOnce => {
                let said = self.ask_person(&pending, &context).await;
                self.settle(pending, said, request, context).await
            }
            Asking::ByAnswer => {
                let questions = InputRequests::from([(
                    QUESTION.to_owned(),
                    InputRequest::Elicitation(pending.question()),
                )]);
                let state = self.seal.close(&pending, &request);
                Ok(InputRequiredResult::new(Some(questions), Some(state)).into())
            }
        }
    }

    async fn run(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.tools.call(ToolCallContext::new(self, request, context)).await
    }

    /// What the user says as long as the host lets the call wait, if anything.
    async fn ask_person(&self, pending: &Pending, context: &RequestContext<RoleServer>) -> Option<Decision> {
        let window = Duration::from_secs(host::longest(tools::host(context).as_deref()));
        let question = ServerRequest::ElicitRequest(pending.question());
        let asked = async {
            let options = PeerRequestOptions::with_timeout(window);
            let sent = context.peer.send_request_with_option(question, options).await.ok()?;
            sent.await_response().await.ok()
        };
        match self.wait(context, async { Ok(asked.await) }).await {
            Ok(Some(ClientResult::ElicitResult(result))) => decision(&result),
            // No answer, or none to this question: it stays open.
            Ok(_) | Err(_) => None,
        }
    }

    /// Does what the person said; if that was nothing, or the relay takes no decision from here, the question
    /// stays open.
    async fn settle(
        &self,
        pending: Pending,
        said: Option<Decision>,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(decision) = said else { return Ok(pending.into_response()) };
        let decide = DecideApproval { approval_id: pending.approval_id.clone(), decision };
        if self.wait(&context, self.relay.act(decide, Envelope::default())).await.is_err() {
            return Ok(pending.into_response());
        }
        match decision {
            Decision::Deny => Ok(denied().into_result().into()),
            Decision::Approve => {
                let arguments = request.arguments.get_or_insert_default();
                arguments.insert(InEnvelope::ApprovalId.name().to_owned(), json!(pending.approval_id));
                self.run(request, context).await
            }
        }
    }
}

impl Pending {
    fn new(error: ApiError) -> Option<Self> {
        let approval_id = error.approval_id.clone()?;
        (error.code == ErrorCode::ApprovalPending).then_some(Self { approval_id, error })
    }

    fn in_response(response: &CallToolResponse) -> Option<Self> {
        let CallToolResponse::Complete(result) = response else { return None };
        Self::new(Failure::in_result(result)?)
    }

    /// Nothing to fill in: yes and no are the host's own buttons.
    fn question(&self) -> ElicitRequest {
        ElicitRequest::new(ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: self.error.message.clone(),
            requested_schema: ElicitationSchema::new(BTreeMap::new()),
        })
    }

    fn into_response(self) -> CallToolResponse {
        Failure::from(self.error).into_result().into()
    }
}

impl Seal {
    /// With a key of this process: a host that starts another asks again.
    pub(crate) fn new() -> Self {
        let mut key = [0; RequestStateCodec::MIN_KEY_LENGTH];
        getrandom::fill(&mut key).expect("the operating system gives random bytes");
        Self(RequestStateCodec::new_unchecked(key))
    }

    fn close(&self, pending: &Pending, request: &CallToolRequestParams) -> String {
        let call = call(request);
        let bound = SealOptions::new().associated_data(&call);
        self.0
            .seal_json_with(&pending.error, &bound)
            .expect("an error has no map with keys that are not text")
    }

    fn open(&self, state: &str, request: &CallToolRequestParams) -> Option<Pending> {
        Pending::new(self.0.open_json_with(state, &call(request)).ok()?)
    }
}

/// What the yes is for.
fn call(request: &CallToolRequestParams) -> Vec<u8> {
    json!([request.name, request.arguments]).to_string().into_bytes()
}

/// Only forms count: a host that opens links cannot show the question.
fn asking(context: &RequestContext<RoleServer>) -> Asking {
    let elicitation = context.client_capabilities().and_then(|client| client.elicitation);
    if !elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none()) {
        return Asking::Never;
    }
    let version = context.protocol_version();
    if version.is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
        Asking::ByAnswer
    } else {
        Asking::AtOnce
    }
}

fn answered(mut answers: InputResponses) -> Option<Decision> {
    decision(&serde_json::from_value(answers.remove(QUESTION)?).ok()?)
}

fn decision(result: &ElicitResult) -> Option<Decision> {
    match result.action {
        ElicitationAction::Accept => Some(Decision::Approve),
        ElicitationAction::Decline => Some(Decision::Deny),
        // The library's enum is open; what it does not know yet is no decision.
        ElicitationAction::Cancel | _ => None,
    }
}

fn denied() -> Failure {
    let hint = "Do not try it another way; ask the user what to do instead.";
    ApiError::new(ErrorCode::ApprovalDenied, "the user said no", hint).into()
}

fn not_of_this_call() -> Failure {
    let hint = "Make the call again from the beginning; nothing was done.";
    ApiError::new(ErrorCode::ApprovalDenied, "the answer belongs to another call", hint).into()
}
