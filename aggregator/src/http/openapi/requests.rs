//! What the table of who may ask what, and a path itself, say of a request.

use serde_json::{Value, json};

use super::shape::set;
use crate::http::access::Access;

/// What is answered where a request is refused: status, name, and when.
pub(super) const PROBLEMS: [(&str, &str, &str); 12] = [
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
    ("410", "gone", "Its time is over, and it was deleted or takes nothing any more."),
    ("413", "too_long", "It has more bytes than are taken."),
    ("416", "range", "It asks for more than one range, or for one beyond the end."),
    ("422", "message", "It is wrong whatever the state."),
    ("500", "internal", "The aggregator failed and changed nothing."),
    ("503", "busy", "It cannot be done now; the same works later, after `Retry-After` seconds."),
];

/// Adds to a request what the table and its path say: who may make it, what the path names, and how it
/// may be refused.
pub(super) fn complete(operation: &mut Value, method: &str, path: &str, access: Access) {
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
    let sends = method == "PUT" || method == "POST";
    let ranges = path.ends_with("/body") || path.ends_with("/sum");
    let ends = path.ends_with("/body") || path.starts_with("/v2/drafts/");
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, name, _) in PROBLEMS {
        let possible = match status {
            "500" | "503" => true,
            "408" | "413" => sends,
            "410" => ends,
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
        "holder" => {
            ("SiteId", "The key holder; of a standing, who answers, of a snapshot, who seals it")
        }
        "site" => ("SiteId", "The site"),
        "number" => ("", "The number of an epoch, from 1"),
        "tile" => ("Tile", "Which tile, as L/N or entries/N: 0/x001/x234/067, or 1/000.p/8"),
        _ => ("", "Which dispute or verdict: 1 to c; 0 is the verdict on check words"),
    };
    let schema = match schema {
        "" => json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX }),
        "Tile" => json!({ "type": "string" }),
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
        [
            "studies",
            _,
            "rounds",
            _,
            "openings" | "opened" | "sum" | "snapshots" | "acks" | "agreed",
            ..,
        ] => "Openings and the sum",
        ["studies", _, "rounds", _, "disputes" | "verdicts", ..] => "Disputes",
        ["studies", _, "rounds", ..] => "Rounds",
        ["studies", _, "log", ..] => "The log",
        ["studies" | "drafts", ..] => "Studies",
        _ => "The server",
    }
}
