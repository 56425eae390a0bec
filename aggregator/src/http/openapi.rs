//! The OpenAPI document of the service, made from the handlers, the messages and the table of who may
//! ask what; and a page for people, made from the document.
//!
//! `docs/openapi.json` is the same document. Tests hold it to this code, and every answer that the
//! service's tests get to it.

mod lists;
mod page;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::api::{AggregatorStatus, Problem};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{OpenApi, PartialSchema, ToSchema};

pub(crate) use self::lists::{
    Acknowledgements, Headers, Openings, RestoreRequests, Reviews, Standings,
};
use crate::http::access::{Access, rows};
use crate::http::routes;
use crate::http::routes::{
    closing, contribution, dispute, log, opening, restored, round, round_keys, study,
};

/// What the handlers and messages say of themselves.
#[derive(OpenApi)]
#[openapi(
    paths(
        routes::aggregator,
        routes::healthz,
        routes::readyz,
        json,
        page,
        study::register,
        study::file,
        study::status,
        study::lost,
        study::recover,
        log::checkpoint,
        log::consistency,
        log::inclusion,
        log::inclusions,
        round_keys::publish,
        round_keys::fetch,
        restored::requests,
        restored::request,
        restored::standings,
        restored::stand,
        round::open,
        round::status,
        round::manifest,
        contribution::progress,
        contribution::announce,
        contribution::header,
        contribution::envelopes,
        contribution::envelope,
        contribution::upload,
        contribution::body,
        contribution::frozen_headers,
        contribution::dealt,
        closing::freeze,
        closing::review,
        closing::reviews,
        closing::closing,
        closing::endorse,
        closing::certificate,
        opening::sum,
        opening::openings,
        opening::post,
        opening::part,
        opening::acknowledge,
        opening::acknowledgements,
        dispute::certified,
        dispute::endorse,
        dispute::functionals,
        dispute::post_functionals,
        dispute::functionals_part,
        dispute::verdict,
        dispute::judge,
        dispute::keys,
        dispute::post_keys,
        dispute::keys_part,
    ),
    components(schemas(Problem, AggregatorStatus))
)]
struct Said;

/// Bytes that are no JSON: a frame, or a part of a body or of a sum.
pub(crate) struct Bytes;

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        let bytes = ObjectBuilder::new().schema_type(Type::String);
        let bytes = bytes.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        bytes.description(Some("Bytes as they are; `docs/wire.md` says which.")).build().into()
    }
}

impl ToSchema for Bytes {}

/// `null`: there is nothing to say but that it is done.
pub(crate) struct Nothing;

impl PartialSchema for Nothing {
    fn schema() -> RefOr<Schema> {
        let nothing = ObjectBuilder::new().schema_type(Type::Null);
        nothing.description(Some("There is nothing to say but that it is done.")).build().into()
    }
}

impl ToSchema for Nothing {}

const ABOUT: &str = "An aggregator of Ringfence: it stores ciphertexts and signed statements, and adds \
words. It has no key that opens anything. `docs/http.md` says what follows what, `docs/wire.md` which \
bytes are sent, and what of it is signed how. Every request may be repeated.";

const SIGNATURE: &str = "An HTTP message signature (RFC 9421) by the Ed25519 key that the site signs its \
statements with, as the label `ringfence` in the headers `Signature-Input` and `Signature`. It covers \
`(\"@method\" \"@path\" \"@query\")`, and `\"content-digest\"` where a message is sent (a body needs none), \
with `created`, `keyid` (the site's name), `alg=\"ed25519\"` and `tag=\"ringfence-v2\"`. \
`docs/http.md` has an example, `.ci/openapi.py` a signer in Python.";

const TOKEN: &str = "The administrator's token, or an auditor's.";

/// What is answered where a request is refused: status, name, and when.
const PROBLEMS: [(&str, &str, &str); 11] = [
    ("400", "malformed", "It is not the JSON, frame or query that is expected."),
    (
        "401",
        "unauthorised",
        "Neither a signature nor a token is there, or it is not known or not of now.",
    ),
    ("403", "sender", "The signature does not hold, or this sender may not ask or say this."),
    ("404", "missing", "There is no such study, round, site or message, or not yet."),
    ("408", "slow", "The sender went silent in the middle."),
    ("409", "conflict", "It contradicts what came before, or comes at the wrong time."),
    ("413", "too_long", "It has more bytes than are taken."),
    ("416", "range", "It asks for more than one range, or for one beyond the end."),
    ("422", "message", "It is wrong whatever the state."),
    ("500", "internal", "The aggregator failed and changed nothing."),
    ("503", "busy", "It cannot be done now; the same works later, after `Retry-After` seconds."),
];

/// The document.
pub(crate) fn document() -> Value {
    // What the macros write is JSON.
    let mut document = serde_json::to_value(Said::openapi()).unwrap_or_default();
    set(
        &mut document,
        "info",
        json!({
            "title": "Ringfence aggregator",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        }),
    );
    if let Some(components) = document.get_mut("components") {
        set(
            components,
            "securitySchemes",
            json!({
                "signature": {
                    "type": "apiKey", "in": "header", "name": "Signature", "description": SIGNATURE,
                },
                "token": { "type": "http", "scheme": "bearer", "description": TOKEN },
            }),
        );
        let problem = |(_, name, when): (&str, &str, &str)| {
            let schema = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
            let content = json!({ "application/problem+json": schema });
            (name.to_owned(), json!({ "description": when, "content": content }))
        };
        if let Some(schemas) = components.get_mut("schemas") {
            refer_to_statements(schemas);
            name_variants(schemas);
        }
        set(components, "responses", PROBLEMS.map(problem).into_iter().collect());
    }
    for (method, path, access) in rows() {
        let item = document.get_mut("paths").and_then(|paths| paths.get_mut(&path));
        if let Some(operation) = item.and_then(|item| item.get_mut(method.to_lowercase())) {
            complete(operation, method, &path, access);
        }
    }
    sorted(document)
}

/// The OpenAPI document of the service as text: JSON, with names in order.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The OpenAPI document of this service.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    responses((status = 200, description = "The document", body = Value))
)]
pub(super) async fn json() -> Response {
    crate::http::answer::raw_json(text().into_bytes())
}

/// The same for people: every request and every message, on one page.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "get_docs",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn page() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    // Nothing is loaded and nothing runs; the page brings its own style.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let policy = HeaderValue::from_static(policy);
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, page::page(&document())).into_response()
}

/// Adds to a request what the table and its path say: who may make it, what the path names, and how it
/// may be refused.
fn complete(operation: &mut Value, method: &str, path: &str, access: Access) {
    let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default();
    let description = operation.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{summary} {description}").trim().to_owned();
    set(operation, "description", format!("{description}\n\nFor {}.", who(access)).into());
    let title = description.split_inclusive(['.', ':']).next().unwrap_or_default();
    set(operation, "summary", title.trim_end_matches(['.', ':']).into());
    set(operation, "tags", json!([tag(path)]));
    let (signature, token) = (json!({ "signature": [] }), json!({ "token": [] }));
    set(
        operation,
        "security",
        match access {
            Access::Anyone => json!([]),
            Access::Admin => json!([token]),
            Access::Reader => json!([signature, token]),
            Access::Member | Access::Own(_) => json!([signature]),
        },
    );
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(in_path)
        .collect();
    if let Some(Value::Array(others)) = operation.get_mut("parameters").map(Value::take) {
        parameters.extend(others.into_iter().map(not_null));
    }
    set(operation, "parameters", parameters.into());
    if let Some(body) = operation.get_mut("requestBody") {
        set(body, "required", true.into());
    }
    let (sends, ranges) = (method != "GET", path.ends_with("/body") || path.ends_with("/sum"));
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, name, _) in PROBLEMS {
        let possible = match status {
            "500" | "503" => true,
            "408" | "413" => sends,
            "416" => ranges && !sends,
            _ => access != Access::Anyone,
        };
        if possible {
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            responses.insert(status.to_owned(), reference);
        }
    }
}

/// What a path names.
fn in_path(name: &str) -> Value {
    let (schema, description) = match name {
        "study" => ("StudyId", "The study"),
        "round" => ("RoundNumber", "The round"),
        "holder" => ("SiteId", "The key holder; of a standing, who answers"),
        "site" => ("SiteId", "The site"),
        _ => ("", "Which dispute or verdict: 1 to c; 0 is the verdict on check words"),
    };
    let schema = match schema {
        "" => json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX }),
        schema => json!({ "$ref": format!("#/components/schemas/{schema}") }),
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// A parameter that may be left out and is never `null`: in a query and in a header there is no such
/// thing.
fn not_null(mut parameter: Value) -> Value {
    if let Some(kind) = parameter.pointer_mut("/schema/type")
        && let Some(first) = kind.as_array().and_then(|kinds| kinds.first().cloned())
    {
        *kind = first;
    }
    parameter
}

/// Types around a statement. What is in them is a message of its own, and referred to.
const AROUND: [&str; 3] = ["Signed_", "Endorses_", "Quorum_"];

/// Refers to the statements in [`AROUND`], where the macros repeat them.
fn refer_to_statements(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else { return };
    let mut left: Vec<String> = schemas.keys().cloned().collect();
    while let Some(name) = left.pop() {
        let Some(inner) = AROUND.iter().find_map(|around| name.strip_prefix(around)) else {
            continue;
        };
        let statement =
            schemas.get_mut(&name).and_then(|schema| schema.pointer_mut("/properties/statement"));
        let Some(statement) = statement else { continue };
        let reference = json!({ "$ref": format!("#/components/schemas/{inner}") });
        let repeated = std::mem::replace(statement, reference);
        schemas.entry(inner).or_insert(repeated);
        left.push(inner.to_owned());
    }
}

/// Gives what a variant of an enum holds a name of its own, as generators of clients want it, and says
/// that the variant holds nothing else.
fn name_variants(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else { return };
    let mut named = Map::new();
    for (name, schema) in schemas.iter_mut() {
        let variants = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        for variant in variants.into_iter().flatten() {
            let properties = variant.get_mut("properties").and_then(Value::as_object_mut);
            let Some((tag, held)) = properties.and_then(|all| all.iter_mut().next()) else {
                continue;
            };
            if held.get("properties").is_some() {
                let inner = format!("{name}_{tag}");
                let reference = json!({ "$ref": format!("#/components/schemas/{inner}") });
                let mut object = std::mem::replace(held, reference);
                set(&mut object, "additionalProperties", false.into());
                named.insert(inner, object);
            }
            set(variant, "additionalProperties", false.into());
        }
    }
    schemas.extend(named);
}

/// Who may make a request, in words.
fn who(access: Access) -> String {
    match access {
        Access::Anyone => "anyone".to_owned(),
        Access::Admin => "an administrator, by a token".to_owned(),
        Access::Reader => {
            "a site of the study, by its signature, or an auditor of it or an administrator, by a token"
                .to_owned()
        }
        Access::Member => "a site of the study, by its signature".to_owned(),
        Access::Own(name) => format!("the site that the path names as `{name}`, by its signature"),
    }
}

/// The part of the service that a path belongs to.
fn tag(path: &str) -> &'static str {
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match parts.as_slice() {
        ["studies", _, "rounds", _, "contributions" | "headers" | "dealt", ..] => "Contributions",
        ["studies", _, "rounds", _, "openings" | "sum" | "acks", ..] => "Openings and the sum",
        ["studies", _, "rounds", _, "disputes" | "verdicts", ..] => "Disputes",
        ["studies", _, "rounds", ..] => "Rounds",
        ["studies", _, "log", ..] => "The log",
        ["studies", ..] => "Studies",
        _ => "The server",
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// The same with names in order, whatever features others have given `serde_json`, and texts without
/// the brackets of links in the code.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            let entries = entries.into_iter().map(|(name, value)| match value {
                Value::String(text) if name == "description" => (name, plain(&text).into()),
                value => (name, sorted(value)),
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// A text without links into the code: of [`Name`] and [`Name`](path) the name is left. Its lines are
/// as long as its paragraphs.
fn plain(text: &str) -> String {
    let paragraphs: Vec<String> =
        text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    let text = paragraphs.join("\n\n");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, name)) = rest.split_once("[`") {
        let Some((name, after)) = name.split_once("`]") else { break };
        plain.push_str(&format!("{before}`{name}`"));
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                found.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
        found
    }

    #[test]
    fn the_committed_document_is_the_generated_one() {
        let committed = include_str!("../../../docs/openapi.json");
        assert!(
            committed == text(),
            "docs/openapi.json is another one; write it anew: `cargo run -p ringfence-aggregator -- openapi > docs/openapi.json`, and read what differs"
        );
    }

    #[test]
    fn it_has_every_route_of_the_table_and_no_other() {
        let documented: BTreeSet<_> =
            operations(&document()).into_iter().map(|(method, path, _)| (method, path)).collect();
        let table: BTreeSet<_> =
            rows().map(|(method, path, _)| (method.to_owned(), path)).collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn every_request_says_what_it_is() {
        let document = document();
        let mut names = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "two requests are called {}", operation["operationId"]);
            assert!(operation["summary"].as_str().unwrap().len() > 5, "{method} {path}");
            assert!(operation["tags"].is_array() && operation["security"].is_array());
            assert_eq!(method != "GET", operation["requestBody"].is_object(), "{method} {path}");
            let parameters = operation["parameters"].as_array().unwrap();
            for parameter in parameters {
                assert!(parameter["description"].is_string(), "{path} {}", parameter["name"]);
            }
        }
    }

    #[test]
    fn every_message_has_a_name_of_its_own() {
        // The macros name a generic type after what stands in its brackets, and not behind an alias.
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for alias in ["Signed", "Endorses", "Quorum", "Signed_Endorses"] {
            assert!(!schemas.contains_key(alias), "{alias}: write out what it is of");
        }
        for (name, schema) in schemas {
            let statement = &schema["properties"]["statement"];
            assert!(statement.is_null() || statement["$ref"].is_string(), "{name}");
        }
    }

    #[test]
    fn what_it_refers_to_is_there() {
        let document = document();
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            if let Some(target) = value["$ref"].as_str() {
                let found = document.pointer(target.strip_prefix('#').unwrap());
                assert!(found.is_some(), "{target}");
            }
            match value {
                Value::Object(object) => left.extend(object.values()),
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
    }

    #[test]
    fn links_into_the_code_become_names() {
        let text =
            "Digest of the [`Trust`] and of [`OpeningPart`](crate::api::OpeningPart) [0, 1].";
        assert_eq!(plain(text), "Digest of the `Trust` and of `OpeningPart` [0, 1].");
    }
}
