//! A tool's arguments, with errors in the words of [`Failure`] instead of the library's.
//!
//! Those that belong to the [`Envelope`] stand among the others and are taken out here, so that no call has to
//! know them.

use rmcp::ErrorData;
use rmcp::handler::server::common::FromContextPart;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::protocol::Envelope;

use crate::failure::Failure;

const LOOK: &str = "Look at the tool's input schema and call again.";

/// What a tool takes.
pub(crate) trait ToolArguments: DeserializeOwned + JsonSchema {
    /// Which arguments of the envelope stand among the tool's own.
    const ENVELOPE: &'static [InEnvelope];
}

/// An argument that says for whom, or with whose approval, and not what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum InEnvelope {
    AgentId,
    ApprovalId,
}

impl InEnvelope {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AgentId => "agentId",
            Self::ApprovalId => "approvalId",
        }
    }

    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::AgentId => "Another agent; admins only.",
            Self::ApprovalId => "From approval_pending.",
        }
    }
}

/// The arguments of a call and what stands beside them, or what is wrong with them.
pub(crate) struct Arguments<T>(Result<(T, Envelope), Failure>);

impl<T> Arguments<T> {
    pub(crate) fn checked(self) -> Result<(T, Envelope), Failure> {
        self.0
    }
}

impl<S, T: ToolArguments> FromContextPart<ToolCallContext<'_, S>> for Arguments<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        Ok(Self(parse(context.arguments.take().unwrap_or_default())))
    }
}

fn parse<T: ToolArguments>(mut arguments: JsonObject) -> Result<(T, Envelope), Failure> {
    let mut envelope = Envelope::default();
    for argument in T::ENVELOPE {
        let Some(value) = arguments.remove(argument.name()) else { continue };
        let read = match argument {
            InEnvelope::AgentId => serde_json::from_value(value).map(|id| envelope.agent_id = id),
            InEnvelope::ApprovalId => serde_json::from_value(value).map(|id| envelope.approval_id = id),
        };
        read.map_err(|_| wrong(argument.name(), "of the form in the schema"))?;
    }
    let own = T::deserialize(&arguments).map_err(|error| explain::<T>(&arguments, &error))?;
    Ok((own, envelope))
}

/// Says which argument is wrong, and never repeats its value: it may be somebody's number or words.
fn explain<T: ToolArguments>(arguments: &JsonObject, error: &serde_json::Error) -> Failure {
    let text = error.to_string();
    if let Some(rest) = text.strip_prefix("unknown field `") {
        return unknown::<T>(arguments, rest);
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return Failure::invalid(format!("the argument {field} is missing"), LOOK);
    }
    let field = arguments.iter().find(|(name, value)| is_wrong::<T>(name, value));
    let wanted = text.rsplit_once(", expected ").map_or("of the form in the schema", |(_, wanted)| wanted);
    match field {
        Some((name, _)) => wrong(name, wanted),
        None => Failure::invalid(format!("an argument must be {wanted}"), LOOK),
    }
}

/// `rest` is a field's name and the library's list of those that it knows, all between backticks.
fn unknown<T: ToolArguments>(arguments: &JsonObject, rest: &str) -> Failure {
    let mut names = rest.split('`').step_by(2);
    let field = names.next().unwrap_or_default();
    let envelope = T::ENVELOPE.iter().map(|argument| argument.name());
    // A field inside of an argument has nothing to do with the envelope.
    let beside = envelope.filter(|_| arguments.contains_key(field));
    let known: Vec<_> = names.chain(beside).map(|name| format!("`{name}`")).collect();
    let hint = if known.is_empty() { "no arguments".to_owned() } else { known.join(", ") };
    Failure::invalid(format!("unknown argument `{field}`"), format!("Known here: {hint}."))
}

fn wrong(name: &str, wanted: &str) -> Failure {
    Failure::invalid(format!("`{name}` must be {wanted}"), LOOK)
}

/// Whether this argument on its own is refused, for another reason than that others are missing.
fn is_wrong<T: DeserializeOwned>(name: &str, value: &Value) -> bool {
    let alone = JsonObject::from_iter([(name.to_owned(), value.clone())]);
    T::deserialize(&alone).is_err_and(|error| !error.to_string().starts_with("missing field"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use shared::ids::{AgentId, ApprovalId, CallSid};

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    struct Sample {
        body: String,
        media_urls: Option<Vec<String>>,
        call_sid: Option<CallSid>,
        kind: Option<Kind>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        Sms,
        Voice,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    struct Inner {
        size: u32,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    impl ToolArguments for Sample {
        const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId, InEnvelope::ApprovalId];
    }

    impl ToolArguments for Nothing {
        const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::AgentId];
    }

    fn object(arguments: &Value) -> JsonObject {
        arguments.as_object().unwrap().clone()
    }

    fn error_in<T: ToolArguments + std::fmt::Debug>(arguments: &Value) -> Value {
        let result = parse::<T>(object(arguments)).unwrap_err().into_result();
        let text = &result.content[0].as_text().unwrap().text;
        serde_json::from_str::<Value>(text).unwrap()["error"].clone()
    }

    #[rstest::rstest]
    #[case(json!({}), "the argument `body` is missing")]
    #[case(json!({ "body": "b", "colour": "secret" }), "unknown argument `colour`")]
    #[case(json!({ "body": 7 }), "`body` must be a string")]
    #[case(json!({ "body": "b", "mediaUrls": "secret" }), "`mediaUrls` must be a sequence")]
    #[case(json!({ "body": "b", "kind": "secret" }), "`kind` must be `sms` or `voice`")]
    #[case(json!({ "body": "b", "callSid": "secret!" }), "`callSid` must be of the form in the schema")]
    #[case(json!({ "body": "b", "agentId": "Secret!" }), "`agentId` must be of the form in the schema")]
    #[case(json!({ "body": "b", "approvalId": "secret" }), "`approvalId` must be of the form in the schema")]
    fn a_wrong_argument_is_named_and_its_value_is_not(#[case] arguments: Value, #[case] message: &str) {
        let error = error_in::<Sample>(&arguments);
        assert_eq!((&error["code"], &error["message"]), (&json!("invalid_input"), &json!(message)));
        assert!(!error.to_string().to_lowercase().contains("secret"), "{error}");
    }

    #[test]
    fn an_unknown_argument_is_answered_with_the_known_ones_and_those_of_the_envelope() {
        let hint = &error_in::<Sample>(&json!({ "body": "b", "colour": 1 }))["hint"];
        let known = "`body`, `mediaUrls`, `callSid`, `kind`, `inner`, `agentId`, `approvalId`";
        assert_eq!(hint, &format!("Known here: {known}."));
    }

    #[test]
    fn an_unknown_field_inside_of_an_argument_is_answered_with_those_beside_it() {
        let hint = &error_in::<Sample>(&json!({ "body": "b", "inner": { "width": 1 } }))["hint"];
        assert_eq!(hint, "Known here: `size`.");
    }

    #[test]
    fn a_tool_without_arguments_of_its_own_still_has_those_of_the_envelope() {
        let error = error_in::<Nothing>(&json!({ "approvalId": "x" }));
        let told = (&error["message"], &error["hint"]);
        assert_eq!(told, (&json!("unknown argument `approvalId`"), &json!("Known here: `agentId`.")));
    }

    #[test]
    fn the_envelope_is_taken_out_of_the_arguments() {
        let arguments =
            json!({ "body": "b", "agentId": "sales", "approvalId": "01890a5d-ac96-774b-bcce-b302099a8057" });
        let (_, envelope) = parse::<Sample>(object(&arguments)).unwrap();
        let agent_id: AgentId = "sales".parse().unwrap();
        let approval_id: ApprovalId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let expected = Envelope { agent_id: Some(agent_id), approval_id: Some(approval_id) };
        assert_eq!(envelope, expected);
    }

    #[test]
    fn an_argument_of_the_envelope_that_is_null_was_not_given() {
        let (_, envelope) = parse::<Nothing>(object(&json!({ "agentId": null }))).unwrap();
        assert_eq!(envelope, Envelope::default());
    }
}
