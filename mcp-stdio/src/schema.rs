//! JSON Schemas that every host understands: no references, no null unions, no Rust number formats.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// What a tool takes.
pub(crate) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    of::<T>(SchemaSettings::draft2020_12())
}

/// What a tool gives: names and types only. What they mean stands in the tool's description, and every word
/// here costs the model's context.
pub(crate) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    of::<T>(settings.with_transform(RecursiveTransform(|schema: &mut Schema| {
        schema.remove("description");
    })))
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> Arc<JsonObject> {
    let plain = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let generator = plain.with_transform(RecursiveTransform(portable)).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    // The name and description of a Rust type say nothing to a model.
    schema.remove("title");
    schema.remove("description");
    Arc::new(schema.as_object().cloned().unwrap_or_default())
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
    if object.get("default") == Some(&Value::Null) {
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

fn is_rust_number(format: &Value) -> bool {
    format.as_str().is_some_and(|name| {
        name.starts_with("int") || name.starts_with("uint") || name == "double" || name == "float"
    })
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Sample {
        /// How many.
        count: Option<u32>,
        kind: Option<Kind>,
        nested: Nested,
    }

    #[derive(Serialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Kind {
        Plain,
        /// With a description.
        Described,
    }

    #[derive(Serialize, JsonSchema)]
    struct Nested {
        size: f64,
    }

    #[test]
    fn a_schema_has_no_unions_references_nulls_or_number_formats() {
        let expected = json!({
            "type": "object",
            "properties": {
                "count": { "description": "How many.", "type": "integer", "minimum": 0 },
                "kind": { "type": "string", "enum": ["Plain", "Described"] },
                "nested": {
                    "type": "object",
                    "properties": { "size": { "type": "number" } },
                    "required": ["size"],
                },
            },
            "required": ["nested"],
        });
        assert_eq!(Value::Object(Arc::unwrap_or_clone(input::<Sample>())), expected);
    }
}
