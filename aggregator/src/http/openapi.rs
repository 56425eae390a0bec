//! The OpenAPI document of the service, made from the handlers, the messages and the table of who may
//! ask what; and a page for people, made from the document.
//!
//! `docs/openapi.json` is the same document. Tests hold it to this code, and every answer that the
//! service's tests get to it.

mod lists;
mod page;
mod requests;
mod shape;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ringfence_crypto::api::{AggregatorStatus, Problem};
use serde_json::{Value, json};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{OpenApi, PartialSchema, ToSchema};

pub(crate) use self::lists::{
    Acknowledgements, Headers, Openings, RestoreRequests, Reviews, Standings,
};
use self::requests::{PROBLEMS, complete};
use self::shape::{name_variants, refer_to_statements, set, sorted};
use crate::http::access::rows;
use crate::http::routes;
use crate::http::routes::{
    closing, contribution, dispute, draft, epoch, evidence, log, opening, restored, round,
    round_keys, study,
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
        draft::post,
        draft::list,
        draft::file,
        draft::status,
        draft::remove,
        draft::sign,
        study::register,
        study::file,
        study::status,
        study::lost,
        study::recover,
        epoch::post,
        epoch::proposed,
        epoch::drop_proposed,
        epoch::made_one,
        log::checkpoint,
        log::consistency,
        log::inclusion,
        log::inclusions,
        log::tile,
        log::cosignatures,
        log::cosign,
        log::cosignature,
        evidence::entries,
        evidence::proof,
        round_keys::logged,
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
        contribution::contribute,
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
        opening::opened,
        opening::part,
        opening::put_snapshot,
        opening::snapshot,
        opening::acknowledge,
        opening::acknowledgements,
        opening::agreed,
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
            let sends = !["GET", "DELETE"].contains(&method.as_str());
            assert_eq!(sends, operation["requestBody"].is_object(), "{method} {path}");
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
}
