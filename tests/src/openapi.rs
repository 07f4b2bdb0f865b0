//! Checks a request against a provider's OpenAPI document, strictly: a field that the document does not know is
//! a problem, and so is a keyword of the document that this checker does not know.
//!
//! Called by the tests of the adapters. Knows the subset that the fixtures use: path and query parameters, and
//! form bodies.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;
use url::Url;

const FORM: &str = "application/x-www-form-urlencoded";

/// An OpenAPI document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(rename = "openapi")]
    _version: String,
    paths: BTreeMap<String, BTreeMap<String, Operation>>,
    components: Components,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Components {
    schemas: BTreeMap<String, Schema>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Operation {
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    request_body: Option<RequestBody>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    r#in: Place,
    schema: Schema,
    #[serde(default)]
    required: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Place {
    Path,
    Query,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBody {
    content: BTreeMap<String, Content>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    schema: Schema,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Schema {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    r#type: Option<Type>,
    format: Option<String>,
    r#enum: Option<Vec<String>>,
    pattern: Option<Pattern>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    items: Option<Box<Schema>>,
    properties: BTreeMap<String, Schema>,
    required: Vec<String>,
    #[serde(rename = "additionalProperties")]
    _closed: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
}

/// The one kind of pattern that the documents use: some letters, then a count of hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern {
    prefixes: Vec<String>,
    digits: usize,
}

impl Spec {
    /// Reads a document, refusing whatever could not be checked.
    pub fn load(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("read the OpenAPI document")
    }

    /// Everything that is wrong with a request, in words. `url` may have any host.
    #[must_use]
    pub fn check(&self, method: &str, url: &str, content_type: Option<&str>, body: &[u8]) -> Vec<String> {
        let Ok(url) = Url::parse(url) else { return vec!["the address is no URL".to_owned()] };
        let Some((operation, path)) = self.find(method, url.path()) else {
            return vec![format!("no such operation: {method} {}", url.path())];
        };
        let mut problems = Vec::new();
        for (name, value) in path {
            if let Some(parameter) = operation.parameter(Place::Path, name) {
                self.check_value(&parameter.schema, name, value, &mut problems);
            }
        }
        self.check_query(operation, &url, &mut problems);
        self.check_body(operation, content_type, body, &mut problems);
        problems
    }

    /// The operation with the fewest placeholders that fits the path, and what stands in their place.
    fn find<'a>(&'a self, method: &str, path: &'a str) -> Option<(&'a Operation, Vec<(&'a str, &'a str)>)> {
        let method = method.to_ascii_lowercase();
        let fitting = self.paths.iter().filter_map(|(template, operations)| {
            Some((operations.get(&method)?, placeholders(template, path)?))
        });
        fitting.min_by_key(|(_, placeholders)| placeholders.len())
    }

    fn check_query(&self, operation: &Operation, url: &Url, problems: &mut Vec<String>) {
        let query = grouped(url.query().unwrap_or_default().as_bytes());
        for (name, values) in &query {
            match operation.parameter(Place::Query, name) {
                Some(parameter) => self.check_values(&parameter.schema, name, values, problems),
                None => problems.push(format!("unknown query field {name}")),
            }
        }
        let wanted =
            operation.parameters.iter().filter(|wanted| wanted.r#in == Place::Query && wanted.required);
        let missing = wanted.filter(|wanted| !query.contains_key(&wanted.name));
        problems.extend(missing.map(|wanted| format!("missing query field {}", wanted.name)));
    }

    fn check_body(
        &self,
        operation: &Operation,
        content_type: Option<&str>,
        body: &[u8],
        problems: &mut Vec<String>,
    ) {
        let Some(wanted) = &operation.request_body else {
            if !body.is_empty() {
                problems.push("a body where none belongs".to_owned());
            }
            return;
        };
        let content_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        let Some(content) = wanted.content.get(content_type).filter(|_| content_type == FORM) else {
            problems.push(format!("content type {content_type} is not taken"));
            return;
        };
        let (schema, form) = (self.resolve(&content.schema), grouped(body));
        for (name, values) in &form {
            match schema.properties.get(name) {
                Some(field) => self.check_values(field, name, values, problems),
                None => problems.push(format!("unknown field {name}")),
            }
        }
        let missing = schema.required.iter().filter(|name| !form.contains_key(*name));
        problems.extend(missing.map(|name| format!("missing field {name}")));
    }

    fn check_values(&self, schema: &Schema, name: &str, values: &[String], problems: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let item = match (schema.r#type, &schema.items) {
            (Some(Type::Array), Some(items)) => items,
            _ if values.len() > 1 => return problems.push(format!("repeated field {name}")),
            _ => schema,
        };
        for value in values {
            self.check_value(item, name, value, problems);
        }
    }

    fn check_value(&self, schema: &Schema, name: &str, value: &str, problems: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let length = value.chars().count();
        let number = value.parse::<f64>().ok();
        let outside = |number: f64| {
            schema.minimum.is_some_and(|least| number < least)
                || schema.maximum.is_some_and(|most| number > most)
        };
        let is_typed = match schema.r#type {
            None | Some(Type::String) => true,
            Some(Type::Integer) => value.parse::<i64>().is_ok(),
            Some(Type::Number) => number.is_some(),
            Some(Type::Boolean) => value == "true" || value == "false",
            // A form's field is flat.
            Some(Type::Array | Type::Object) => false,
        };
        let checks = [
            (is_typed, "has another type"),
            (schema.min_length.is_none_or(|least| length >= least), "is too short"),
            (schema.max_length.is_none_or(|most| length <= most), "is too long"),
            (!number.is_some_and(outside), "is out of range"),
            (schema.pattern.as_ref().is_none_or(|pattern| pattern.fits(value)), "does not fit its pattern"),
            (
                schema.r#enum.as_ref().is_none_or(|words| words.iter().any(|word| word == value)),
                "is none of its words",
            ),
            (schema.format.as_deref() != Some("uri") || Url::parse(value).is_ok(), "is no URL"),
        ];
        problems.extend(checks.iter().filter(|(ok, _)| !ok).map(|(_, problem)| format!("{name} {problem}")));
    }

    fn resolve<'a>(&'a self, schema: &'a Schema) -> &'a Schema {
        let referred = schema.reference.as_deref().and_then(|path| path.rsplit('/').next());
        referred.and_then(|name| self.components.schemas.get(name)).unwrap_or(schema)
    }
}

impl Operation {
    fn parameter(&self, place: Place, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.r#in == place && parameter.name == name)
    }
}

impl Pattern {
    fn fits(&self, value: &str) -> bool {
        let rest = self.prefixes.iter().find_map(|prefix| value.strip_prefix(prefix.as_str()));
        rest.is_some_and(|rest| {
            rest.len() == self.digits && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let inner = text.strip_prefix('^').and_then(|rest| rest.strip_suffix("}$"));
        let (prefix, digits) =
            inner.and_then(|rest| rest.split_once("[0-9a-fA-F]{")).context("another pattern")?;
        let prefixes: Vec<String> = prefix.trim_matches(['(', ')']).split('|').map(str::to_owned).collect();
        ensure!(
            prefixes.iter().all(|prefix| prefix.bytes().all(|byte| byte.is_ascii_uppercase())),
            "another pattern"
        );
        Ok(Self { prefixes, digits: digits.parse()? })
    }
}

/// What stands in the place of each `{placeholder}`, if the path fits the template.
fn placeholders<'a>(template: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) => {
                match wanted.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                    Some((name, suffix)) => found.push((name, given.strip_suffix(suffix)?)),
                    None if wanted == given => {}
                    None => return None,
                }
            }
            _ => return None,
        }
    }
}

fn grouped(pairs: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(pairs) {
        fields.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    fields
}
