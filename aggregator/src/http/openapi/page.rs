//! The OpenAPI document as a page: plain HTML that loads nothing and runs nothing.

use serde_json::Value;

use crate::http::access::rows;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn page(document: &Value) -> String {
    let info = at(document, "/info");
    let mut parts: Vec<(&str, String)> = Vec::new();
    for (method, path, _) in rows() {
        let item = document.get("paths").and_then(|paths| paths.get(&path));
        let Some(operation) = item.and_then(|item| item.get(method.to_lowercase())) else {
            continue;
        };
        let part = word(at(operation, "/tags/0"));
        let shown = request(method, &path, operation);
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, requests)) => requests.push_str(&shown),
            None => parts.push((part, shown)),
        }
    }
    parts.push(("Who asks", entries(at(document, "/components/securitySchemes"), who)));
    parts.push(("Refusals", refusals(document)));
    parts.push(("Messages", entries(at(document, "/components/schemas"), message)));
    let links: String =
        parts.iter().map(|(name, _)| format!("<li>{}</li>\n", link(&anchor(name), name))).collect();
    let sections: String = parts
        .iter()
        .map(|(name, shown)| {
            format!(
                "<section>\n<h2 id=\"{}\">{}</h2>\n{shown}</section>\n",
                anchor(name),
                escape(name)
            )
        })
        .collect();
    let title = escape(word(at(info, "/title")));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n{about}\
         <p>Version {version}. The same for programs: <a href=\"openapi.json\">openapi.json</a> \
         (OpenAPI {openapi}).</p>\n</header>\n<nav aria-label=\"Parts\">\n<ul>\n{links}</ul>\n</nav>\n\
         <main>\n{sections}</main>\n</body>\n</html>\n",
        about = prose(word(at(info, "/description"))),
        version = escape(word(at(info, "/version"))),
        openapi = escape(word(at(document, "/openapi"))),
    )
}

/// One request: what it does, what it takes and what it is answered with.
fn request(method: &str, path: &str, operation: &Value) -> String {
    let name = escape(word(at(operation, "/operationId")));
    let mut shown = format!("<h3 id=\"{name}\"><code>{method} {}</code></h3>\n", escape(path));
    shown += &prose(word(at(operation, "/description")));
    let parameters = list(at(operation, "/parameters")).iter().map(|parameter| {
        let place = match (word(at(parameter, "/in")), at(parameter, "/required")) {
            (place, Value::Bool(true)) => place.to_owned(),
            (place, _) => format!("{place}, may be left out"),
        };
        let what = format!("{} ({place})", word(at(parameter, "/description")));
        [code(word(at(parameter, "/name"))), kind(at(parameter, "/schema")), inline(&what)]
    });
    shown += &table(["Name", "Is", "What"], parameters);
    let sent = at(operation, "/requestBody/content").as_object();
    for (media, content) in sent.into_iter().flatten() {
        let what = kind(at(content, "/schema"));
        shown += &format!("<p>Sends {what}, <code>{}</code>.</p>\n", escape(media));
    }
    let answers = at(operation, "/responses").as_object();
    let (refused, given): (Vec<_>, Vec<_>) =
        answers.into_iter().flatten().partition(|(_, answer)| answer.get("$ref").is_some());
    let given = given.into_iter().map(|(status, answer)| {
        let content = at(answer, "/content").as_object().and_then(|content| content.iter().next());
        let content = content.map_or_else(
            || "nothing".to_owned(),
            |(media, content)| {
                format!("{}, <code>{}</code>", kind(at(content, "/schema")), escape(media))
            },
        );
        [code(status), content, inline(word(at(answer, "/description")))]
    });
    shown += &table(["Answer", "Is", "What"], given);
    let refused: Vec<String> = refused.into_iter().map(|(status, _)| code(status)).collect();
    shown + &format!("<p>{}: {}.</p>\n", link("refusals", "Refused"), refused.join(", "))
}

/// How a request may be refused.
fn refusals(document: &Value) -> String {
    let answers = at(document, "/components/responses").as_object();
    let rows = answers
        .into_iter()
        .flatten()
        .map(|(name, answer)| [code(name), inline(word(at(answer, "/description")))]);
    let about = "Every answer that is no success is a problem (RFC 9457): ";
    format!("<p>{about}{}.</p>\n{}", kind(&reference("Problem")), table(["Name", "When"], rows))
}

/// How somebody shows who he is.
fn who(scheme: &Value) -> String {
    prose(word(at(scheme, "/description")))
}

/// A message: its members, or what else it is.
fn message(schema: &Value) -> String {
    let about = prose(word(at(schema, "/description")));
    let required = list(at(schema, "/required"));
    let members = at(schema, "/properties").as_object().into_iter().flatten();
    let members = members.map(|(name, member)| {
        let may = if required.contains(&name.as_str().into()) { "" } else { ", or not there" };
        let what = inline(word(at(member, "/description")));
        [code(name), format!("{}{may}", kind(member)), what]
    });
    let members = table(["Member", "Is", "What"], members);
    let options = list(at(schema, "/oneOf")).iter();
    let options = options.map(|option| [kind(option), inline(word(at(option, "/description")))]);
    let options = table(["One of", "What"], options);
    match (members.is_empty() && options.is_empty(), kind(schema)) {
        (true, kind) if !kind.is_empty() => format!("{about}<p>Is {kind}.</p>\n"),
        _ => about + &members + &options,
    }
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap_or_default();
        return link(&anchor(name), name);
    }
    if schema.as_object().is_none_or(|schema| schema.is_empty()) {
        return "anything".to_owned();
    }
    let texts = |values: &Value| -> Vec<String> {
        list(values).iter().map(|value| code(&value.to_string())).collect()
    };
    if let Some(values) = schema.get("enum") {
        return texts(values).join(" or ");
    }
    if let Some(options) = schema.get("oneOf") {
        return list(options).iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let members = at(schema, "/properties").as_object().into_iter().flatten();
    let members: Vec<String> =
        members.map(|(name, member)| format!("{}: {}", code(name), kind(member))).collect();
    let kinds = match at(schema, "/type") {
        Value::Array(kinds) => kinds.iter().map(word).collect(),
        kind => vec![word(kind)],
    };
    let named = kinds.into_iter().map(|kind| match kind {
        "array" => format!("list of {}", self::kind(at(schema, "/items"))),
        "object" => format!("{{{}}}", members.join(", ")),
        "string" if word(at(schema, "/format")) == "binary" => "bytes".to_owned(),
        "string" => match word(at(schema, "/pattern")) {
            "" => "text".to_owned(),
            pattern => format!("text {}", code(pattern)),
        },
        "null" => code("null"),
        other => escape(other),
    });
    named.collect::<Vec<_>>().join(" or ")
}

/// Everything that has a name in an object, under it.
fn entries(object: &Value, shown: impl Fn(&Value) -> String) -> String {
    let object = object.as_object().into_iter().flatten();
    let entry = |(name, value): (&String, &Value)| {
        format!("<h3 id=\"{}\">{}</h3>\n{}", anchor(name), code(name), shown(value))
    };
    object.map(entry).collect()
}

/// A table, or nothing where it has no rows.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: String = rows
        .map(|cells| {
            format!("<tr>{}</tr>\n", cells.map(|cell| format!("<td>{cell}</td>")).concat())
        })
        .collect();
    if rows.is_empty() {
        return rows;
    }
    let head = head.map(|cell| format!("<th scope=\"col\">{cell}</th>")).concat();
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>\n", inline(paragraph))).collect()
}

/// A text in which what stands between backticks is code.
fn inline(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces.map(|(index, piece)| if index % 2 == 1 { code(piece) } else { escape(piece) }).collect()
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

fn link(anchor: &str, text: &str) -> String {
    format!("<a href=\"#{anchor}\">{}</a>", escape(text))
}

/// What a heading is referred to by.
fn anchor(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn reference(name: &str) -> Value {
    serde_json::json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::openapi::document;

    #[test]
    fn the_page_names_every_request_and_message_and_loads_nothing() {
        let (document, page) = (document(), page(&document()));
        for (method, path, _) in rows() {
            assert!(page.contains(&format!("<code>{method} {path}</code>")), "{method} {path}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"{}\"", anchor(name))), "{name}");
        }
        for loads in ["<script", "src=", "<link", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(loads), "{loads}");
        }
    }

    #[test]
    fn every_place_has_one_name_and_every_link_leads_to_one() {
        let page = page(&document());
        let marked = |mark: &str| -> Vec<String> {
            let pieces = page.split(mark).skip(1);
            pieces.filter_map(|piece| piece.split('"').next()).map(str::to_owned).collect()
        };
        let places = marked(" id=\"");
        let distinct: BTreeSet<&String> = places.iter().collect();
        assert_eq!(distinct.len(), places.len());
        for target in marked("href=\"#") {
            assert!(distinct.contains(&target), "{target}");
        }
    }

    #[test]
    fn what_comes_from_the_document_is_text() {
        assert_eq!(inline("a < `b & c`"), "a &lt; <code>b &amp; c</code>");
    }
}
