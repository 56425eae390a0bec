//! The fields of a signed request: structured field values (RFC 9651) to and from what they mean.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::{
    BareItem, Dictionary, InnerList, Item, Key, ListEntry, ListSerializer, Parameters, Parser,
    String as Text,
};

#[cfg(test)]
use std::str::FromStr;

use super::TAG;
use crate::id::{SiteId, UnixSeconds};

/// The name that our signatures have among the fields; others may be read under any.
const LABEL: &str = "ringfence";

/// What `@signature-params` stands for (RFC 9421, section 2.3): components and parameters in the
/// signer's order.
#[derive(Clone, Debug)]
pub(super) struct SignatureParameters {
    list: InnerList,
    pub(super) site: SiteId,
    pub(super) created: UnixSeconds,
    /// After this moment the signer does not want it to be taken any more.
    pub(super) expires: Option<UnixSeconds>,
}

impl SignatureParameters {
    /// Those of a signature of a site over these components.
    pub(super) fn new(components: &[&str], site: &SiteId, created: UnixSeconds) -> Self {
        let texts = components.iter().filter_map(|name| text(name));
        let items = texts.map(|name| Item::new(BareItem::String(name))).collect();
        let seconds = i64::try_from(created.0).ok();
        let seconds = seconds.and_then(|seconds| sfv::Integer::try_from(seconds).ok());
        let fields = [
            ("created", seconds.map(BareItem::Integer)),
            ("keyid", text(site.as_str()).map(BareItem::String)),
            ("alg", text("ed25519").map(BareItem::String)),
            ("tag", text(TAG).map(BareItem::String)),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((Key::from_string(name.to_owned()).ok()?, value?)));
        let list = InnerList::with_params(items, Parameters::from_iter(fields));
        Self { list, site: site.clone(), created, expires: None }
    }

    /// The names of the components.
    pub(super) fn components(&self) -> Vec<&str> {
        let items = self.list.items.iter();
        items.filter_map(|item| Some(item.bare_item.as_string()?.as_str())).collect()
    }

    /// The signature base (section 2.5) over components with these values.
    ///
    /// # Errors
    /// In words, for a component that is not known here or not there.
    pub(super) fn base(
        &self,
        component: impl Fn(&str) -> Option<String>,
    ) -> Result<String, String> {
        let mut base = String::new();
        for (place, item) in self.list.items.iter().enumerate() {
            let name = item.bare_item.as_string().ok_or("a component that is no text")?.as_str();
            if !item.params.is_empty() {
                return Err(format!("\"{name}\" has parameters, which are not known here"));
            }
            // Section 2.5: each once.
            if self.components().iter().take(place).any(|before| *before == name) {
                return Err(format!("\"{name}\" is signed twice"));
            }
            let value = component(name).ok_or(format!("there is no \"{name}\" here"))?;
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        Ok(base + "\"@signature-params\": " + &self.serialized())
    }

    fn serialized(&self) -> String {
        let mut list = ListSerializer::new();
        list.members([&ListEntry::InnerList(self.list.clone())]);
        list.finish().unwrap_or_default()
    }

    /// The values of the headers `Signature-Input` and `Signature`.
    pub(super) fn headers(&self, signature: &[u8; 64]) -> (String, String) {
        let input = format!("{LABEL}={}", self.serialized());
        (input, format!("{LABEL}=:{}:", STANDARD.encode(signature)))
    }
}

/// The one signature with our tag.
///
/// # Errors
/// In words.
pub(super) fn read(
    input: &str,
    signature: &str,
) -> Result<(SignatureParameters, [u8; 64]), String> {
    let no_fields = |error: sfv::Error| format!("they are no structured fields ({error})");
    let inputs: Dictionary = Parser::new(input).parse().map_err(no_fields)?;
    let signatures: Dictionary = Parser::new(signature).parse().map_err(no_fields)?;
    let ours = |entry: &ListEntry| match entry {
        ListEntry::InnerList(list) => parameter(list, "tag").and_then(string) == Some(TAG),
        ListEntry::Item(_) => false,
    };
    let mut ours = inputs.into_iter().filter(|(_, entry)| ours(entry));
    let (label, entry) = ours.next().ok_or("got none")?;
    if ours.next().is_some() {
        return Err("got two".into());
    }
    let ListEntry::InnerList(list) = entry else { return Err("got none".into()) };
    if let Some(other) = parameter(&list, "alg").filter(|alg| string(alg) != Some("ed25519")) {
        return Err(format!("alg is \"ed25519\", got {other:?}"));
    }
    let site = parameter(&list, "keyid").and_then(string).ok_or("keyid is the site's name")?;
    let site = site.parse().map_err(|error| format!("keyid: {error}"))?;
    let created = seconds(&list, "created")?.ok_or("created is in seconds since 1970")?;
    let expires = seconds(&list, "expires")?;
    let signature = match signatures.get(&label) {
        Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
        _ => None,
    };
    let signature = signature.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let signature = signature.ok_or(format!("the signature {label} has 64 bytes"))?;
    Ok((SignatureParameters { list, site, created, expires }, signature))
}

/// A parameter that is a time.
///
/// # Errors
/// In words, for one that is none.
fn seconds(list: &InnerList, name: &str) -> Result<Option<UnixSeconds>, String> {
    let Some(item) = parameter(list, name) else { return Ok(None) };
    let seconds = item.as_integer().and_then(|seconds| u64::try_from(i64::from(seconds)).ok());
    let seconds = seconds.ok_or_else(|| format!("{name} is in seconds since 1970"))?;
    Ok(Some(UnixSeconds(seconds)))
}

fn text(text: &str) -> Option<Text> {
    Text::from_string(text.to_owned()).ok()
}

fn parameter<'a>(list: &'a InnerList, name: &str) -> Option<&'a BareItem> {
    list.params.get(name)
}

fn string(item: &BareItem) -> Option<&str> {
    Some(item.as_string()?.as_str())
}

/// What a test of the base alone has.
#[cfg(test)]
pub(super) fn of_list(list: InnerList) -> SignatureParameters {
    let site = SiteId::from_str("nobody").unwrap();
    SignatureParameters { list, site, created: UnixSeconds(0), expires: None }
}
