//! The OpenAPI document (`docs/openapi.json`), held to every answer that these tests get, and to every
//! message that they send and the service takes.

use std::sync::LazyLock;

use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("a JSON document")
});

/// One request with its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) sent: Option<&'a [u8]>,
    pub(crate) status: u16,
    /// The answer's content type.
    pub(crate) kind: &'a str,
    pub(crate) answer: &'a [u8],
}

/// Fails where an exchange is not as the document says.
#[track_caller]
pub(crate) fn check(exchange: &Exchange<'_>) {
    let Exchange { method, path, sent, status, kind, answer } = exchange;
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let operation = paths
        .iter()
        .filter(|(template, _)| matches(template, path))
        .find_map(|(_, item)| item.get(method.to_lowercase()));
    let Some(operation) = operation else {
        // What a GET answers, a HEAD answers without its body.
        // Metrics are on an address of their own.
        // Pages are for people, and in docs/http.md.
        let refused = [401, 404, 405].contains(status) || *method == "HEAD" || *path == "/metrics";
        let refused = refused || !path.starts_with("/v2");
        return assert!(refused, "{method} {path} is not documented, and answers {status}");
    };
    let documented = resolved(&operation["responses"][status.to_string()]);
    assert!(documented.is_object(), "{method} {path} answers {status}, which is not documented");
    let kind = kind.split(';').next().unwrap_or_default();
    match documented["content"].as_object() {
        None => assert!(answer.is_empty(), "{method} {path}: {status} with a body"),
        Some(content) => {
            let media = content.get(kind);
            let media =
                media.unwrap_or_else(|| panic!("{method} {path}: {status} of kind {kind:?}"));
            if kind.ends_with("json") {
                hold(&media["schema"], answer, &format!("{method} {path}: the answer {status}"));
            }
        }
    }
    let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(sent) = sent
        && (200..300).contains(status)
        && taken.is_object()
    {
        hold(taken, sent, &format!("{method} {path}: what was sent"));
    }
}

fn matches(template: &str, path: &str) -> bool {
    // The rest of the path, whatever is in it.
    if let Some((before, _)) = template.split_once("/{tile}") {
        let count = before.split('/').count();
        let parts: Vec<&str> = path.split('/').collect();
        return parts.len() > count && matches(before, &parts[..count].join("/"));
    }
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(one, other)| one == other || one.starts_with('{'))
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(target) => {
            let found = target.strip_prefix('#').and_then(|target| DOCUMENT.pointer(target));
            found.unwrap_or_else(|| panic!("{target} is not in the document"))
        }
        None => value,
    }
}

#[track_caller]
fn hold(schema: &'static Value, bytes: &[u8], what: &str) {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
    if let Err(wrong) = fits(schema, &value) {
        panic!("{what} is not as docs/openapi.json says: {wrong}");
    }
}

/// Whether a value is as a schema says: the part of JSON Schema that the document uses, and nothing
/// silently left out.
fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = resolved(schema);
    for (word, said) in schema.as_object().ok_or("no schema")? {
        let ok = match word.as_str() {
            "description" | "format" | "default" => true,
            "type" => has_type(said, value),
            "enum" => said.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64() >= said.as_f64(),
            "maximum" => value.as_f64() <= said.as_f64(),
            "pattern" => value.as_str().is_none_or(|text| has_shape(said, text)),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| fits(said, item))?;
                true
            }
            "required" => {
                let mut names = said.as_array().into_iter().flatten().filter_map(Value::as_str);
                names.all(|name| value.get(name).is_some())
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if let Some(property) = said.get(name) {
                        fits(property, value).map_err(|wrong| format!("{name}: {wrong}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().ok_or("no properties")?;
                let mut names = value.as_object().into_iter().flatten().map(|(name, _)| name);
                *said == Value::Bool(false) && names.all(|name| known.contains_key(name))
            }
            "oneOf" => {
                let options = said.as_array().ok_or("oneOf is no list")?;
                options.iter().filter(|option| fits(option, value).is_ok()).count() == 1
            }
            other => return Err(format!("this test does not know the word {other:?}")),
        };
        if !ok {
            return Err(format!("{word}: {said} against {value}"));
        }
    }
    Ok(())
}

fn has_type(said: &Value, value: &Value) -> bool {
    let has = |kind: &Value| match kind.as_str().unwrap_or_default() {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    };
    said.as_array().map_or_else(|| has(said), |kinds| kinds.iter().any(has))
}

/// The patterns of the document, each by what it stands for.
fn has_shape(pattern: &Value, text: &str) -> bool {
    let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match pattern.as_str().unwrap_or_default() {
        "^[0-9a-f]{64}$" => digits && text.len() == 64,
        "^[0-9a-f]{128}$" => digits && text.len() == 128,
        "^([0-9a-f]{2})*$" => digits && text.len().is_multiple_of(2),
        "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$" => {
            text.parse::<ringfence_crypto::id::SiteId>().is_ok()
        }
        _ => false,
    }
}
