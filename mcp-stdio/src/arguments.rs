//! A tool's arguments, with errors in the words of [`Failure`] instead of the library's.

use rmcp::ErrorData;
use rmcp::handler::server::common::FromContextPart;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// The arguments of a call, or what is wrong with them.
pub(crate) struct Arguments<T>(Result<T, Failure>);

impl<T> Arguments<T> {
    pub(crate) fn checked(self) -> Result<T, Failure> {
        self.0
    }
}

impl<S, T: DeserializeOwned> FromContextPart<ToolCallContext<'_, S>> for Arguments<T> {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        Ok(Self(parse(context.arguments.take().unwrap_or_default())))
    }
}

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(arguments.clone())).map_err(|error| explain::<T>(&arguments, &error))
}

/// Says which argument is wrong, and never repeats its value: it may be somebody's number or words.
fn explain<T: DeserializeOwned>(arguments: &JsonObject, error: &serde_json::Error) -> Failure {
    let text = error.to_string();
    let hint = "Look at the tool's input schema and call again.";
    if let Some(rest) = text.strip_prefix("unknown field ") {
        let (field, known) = rest.split_once(", expected ").unwrap_or((rest, "no arguments"));
        return Failure::invalid(format!("unknown argument {field}"), format!("The tool takes {known}."));
    }
    if let Some(field) = text.strip_prefix("missing field ") {
        return Failure::invalid(format!("the argument {field} is missing"), hint);
    }
    let field = arguments.iter().find(|(name, value)| is_wrong::<T>(name, value));
    let name = field.map_or("an argument", |(name, _)| name);
    let wanted = text.rsplit_once(", expected ").map_or("of the form in the schema", |(_, wanted)| wanted);
    Failure::invalid(format!("`{name}` must be {wanted}"), hint)
}

/// Whether this argument on its own is refused, for another reason than that others are missing.
fn is_wrong<T: DeserializeOwned>(name: &str, value: &Value) -> bool {
    let alone = JsonObject::from_iter([(name.to_owned(), value.clone())]);
    serde_json::from_value::<T>(Value::Object(alone))
        .is_err_and(|error| !error.to_string().starts_with("missing field"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use shared::ids::CallSid;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is wrong with it is looked at")]
    struct Sample {
        body: String,
        media_urls: Option<Vec<String>>,
        call_sid: Option<CallSid>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        Sms,
        Voice,
    }

    #[rstest::rstest]
    #[case(json!({}), "the argument `body` is missing")]
    #[case(json!({ "body": "b", "colour": "secret" }), "unknown argument `colour`")]
    #[case(json!({ "body": 7 }), "`body` must be a string")]
    #[case(json!({ "body": "b", "mediaUrls": "secret" }), "`mediaUrls` must be a sequence")]
    #[case(json!({ "body": "b", "kind": "secret" }), "`kind` must be `sms` or `voice`")]
    #[case(json!({ "body": "b", "callSid": "secret!" }), "`callSid` must be of the form in the schema")]
    fn a_wrong_argument_is_named_and_its_value_is_not(#[case] arguments: Value, #[case] message: &str) {
        let arguments = arguments.as_object().unwrap().clone();
        let failure = parse::<Sample>(arguments).unwrap_err().into_result();
        let text = failure.content[0].as_text().unwrap().text.clone();
        let error = serde_json::from_str::<Value>(&text).unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!("invalid_input"), &json!(message)));
        assert!(!text.contains("secret"), "{text}");
    }
}
