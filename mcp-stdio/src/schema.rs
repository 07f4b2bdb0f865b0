//! JSON Schemas that every host understands: no references, no null unions, no Rust number formats.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use shared::ids::{AgentId, CallSid};
use shared::model::{Attachment, Channel, Direction, LimitsPatch, SecretText};

use crate::arguments::ToolArguments;

/// What a tool takes, the arguments of the envelope included.
pub(crate) fn input<T: ToolArguments>() -> Arc<JsonObject> {
    let told_by_types = told_by_types();
    let shorter = RecursiveTransform(move |schema: &mut Schema| {
        if schema.get("description").is_some_and(|words| told_by_types.contains(words)) {
            schema.remove("description");
        }
        // Unknown arguments are refused with the names of the known ones, which helps more than this does.
        if schema.get("additionalProperties") == Some(&json!(false)) {
            schema.remove("additionalProperties");
        }
    });
    let mut schema = of::<T>(SchemaSettings::draft2020_12().with_transform(shorter));
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    for argument in T::ENVELOPE {
        properties[argument.name()] = json!({ "type": "string", "description": argument.description() });
    }
    Arc::new(schema)
}

/// What a tool gives: the names and types of its fields. What they mean stands in the tool's description, what is
/// inside of them shows itself, and every word here costs the model's context.
pub(crate) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = of::<T>(SchemaSettings::draft2020_12().for_serialize());
    schema.retain(|word, _| word == "type" || word == "properties");
    for field in
        schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
    {
        let (of_field, of_element) = (field["type"].take(), field["items"]["type"].take());
        *field = json!({ "type": of_field });
        if !of_element.is_null() {
            field["items"] = json!({ "type": of_element });
        }
    }
    Arc::new(schema)
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> JsonObject {
    let plain = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let generator = plain.with_transform(RecursiveTransform(portable)).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    // The name and description of a Rust type say nothing to a model.
    schema.remove("title");
    schema.remove("description");
    schema.as_object().cloned().unwrap_or_default()
}

/// The documentation of types, which stands in for that of a field without any: it is for readers of the code.
fn told_by_types() -> [Value; 7] {
    fn of<T: JsonSchema>() -> Value {
        T::json_schema(&mut SchemaGenerator::default()).remove("description").unwrap_or_default()
    }
    [
        of::<AgentId>(),
        of::<Attachment>(),
        of::<CallSid>(),
        of::<Channel>(),
        of::<Direction>(),
        of::<LimitsPatch>(),
        of::<SecretText>(),
    ]
}

/// Rewrites what some host's model refuses.
fn portable(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(only) = the_one_that_is_not_null(object) {
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(texts) = alternatives_of_texts(object) {
        object.remove("oneOf");
        object.insert("type".into(), "string".into());
        object.insert("enum".into(), texts.into());
    }
    if object.get("default").is_some_and(says_nothing) {
        object.remove("default");
    }
    if object.get("format").is_some_and(is_rust_number) {
        object.remove("format");
    }
}

/// What an optional value is when it is there.
fn the_one_that_is_not_null(object: &Map<String, Value>) -> Option<Map<String, Value>> {
    let alternatives = object.get("anyOf")?.as_array()?;
    let mut there = alternatives.iter().filter(|one| one.get("type") != Some(&Value::from("null")));
    let only = there.next()?.as_object()?.clone();
    there.next().is_none().then_some(only)
}

/// The texts of an enum whose variants have descriptions: schemars writes it as `oneOf` of constants.
fn alternatives_of_texts(object: &Map<String, Value>) -> Option<Vec<Value>> {
    let mut texts = Vec::new();
    for alternative in object.get("oneOf")?.as_array()? {
        match (alternative.get("const"), alternative.get("enum")) {
            (Some(text), _) => texts.push(text.clone()),
            (None, Some(Value::Array(several))) => texts.extend(several.iter().cloned()),
            _ => return None,
        }
    }
    Some(texts)
}

/// What is left out anyway.
fn says_nothing(default: &Value) -> bool {
    [json!(null), json!(false), json!([]), json!({})].contains(default)
}

fn is_rust_number(format: &Value) -> bool {
    format.as_str().is_some_and(|name| {
        name.starts_with("int") || name.starts_with("uint") || name == "double" || name == "float"
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::arguments::InEnvelope;

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        /// How many.
        count: Option<u32>,
        kind: Option<Kind>,
        nested: Vec<Nested>,
        agent_id: AgentId,
        #[serde(default)]
        hidden: bool,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Kind {
        Plain,
        /// With a description.
        Described,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Nested {
        size: f64,
    }

    impl ToolArguments for Sample {
        const ENVELOPE: &'static [InEnvelope] = &[InEnvelope::ApprovalId];
    }

    #[test]
    fn an_input_has_no_unions_references_nulls_or_number_formats_and_takes_the_envelope() {
        let approval_id = json!({ "type": "string", "description": "From approval_pending." });
        let size = json!({ "size": { "type": "number" } });
        let nested = json!({ "type": "object", "properties": size, "required": ["size"] });
        let expected = json!({
            "type": "object",
            "properties": {
                "count": { "description": "How many.", "type": "integer", "minimum": 0 },
                "kind": { "type": "string", "enum": ["Plain", "Described"] },
                "nested": { "type": "array", "items": nested },
                "agent_id": { "type": "string" },
                "hidden": { "type": "boolean" },
                "approvalId": approval_id,
            },
            "required": ["nested", "agent_id"],
        });
        assert_eq!(Value::Object(Arc::unwrap_or_clone(input::<Sample>())), expected);
    }

    #[test]
    fn an_output_names_its_fields_and_their_types_only() {
        let expected = json!({
            "type": "object",
            "properties": {
                "count": { "type": "integer" },
                "kind": { "type": "string" },
                "nested": { "type": "array", "items": { "type": "object" } },
                "agent_id": { "type": "string" },
                "hidden": { "type": "boolean" },
            },
        });
        assert_eq!(Value::Object(Arc::unwrap_or_clone(output::<Sample>())), expected);
    }
}
