//! What is put right in what the macros write: names, texts, order.

use serde_json::{Map, Value, json};

/// Types around a statement. What is in them is a message of its own, and referred to.
const AROUND: [&str; 3] = ["Signed_", "Endorses_", "Quorum_"];

/// Refers to the statements in [`AROUND`], where the macros repeat them.
pub(super) fn refer_to_statements(schemas: &mut Value) {
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
pub(super) fn name_variants(schemas: &mut Value) {
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

/// Sets a member of an object.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// The same with names in order, whatever features others have given `serde_json`, and texts without
/// the brackets of links in the code.
pub(super) fn sorted(value: Value) -> Value {
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

/// A text without links into the code: the name that stands in the brackets is left. Its lines are as
/// long as its paragraphs.
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
    use super::*;

    #[test]
    fn links_into_the_code_become_names() {
        let text = "Of [`Trust`]\nand [`OpeningPart`](crate::api::OpeningPart) [0, 1].\n\nEnd";
        assert_eq!(plain(text), "Of `Trust` and `OpeningPart` [0, 1].\n\nEnd");
    }
}
