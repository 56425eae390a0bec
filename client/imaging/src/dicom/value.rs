//! Values of attributes. What is absent is `None`; what is present and cannot be read is an error that
//! names the attribute. So is an empty number, except where a slice lies: what changes the pixels'
//! meaning may be left out, and not be left empty (types 1 and 1C of PS3.5, 7.4). An empty text is
//! absent, as those that are read are of types that may be empty or are required.

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::value::Value;
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;
use dicom_object::InMemDicomObject;

use super::fault::misstated;
use crate::error::Fault;

/// Keyword and tag, as in `RescaleSlope (0028,1053)`.
pub(super) fn name(tag: Tag) -> String {
    let keyword = StandardDataDictionary.by_tag(tag).map_or("attribute", |entry| entry.alias());
    format!("{keyword} {tag}")
}

/// A text, trimmed.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Result<Option<String>, Fault> {
    let Some(value) = primitive(object, tag)? else { return Ok(None) };
    let text = match value {
        PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        value => value.to_str().into_owned(),
    };
    let text = text.trim_matches(['\0', ' ']);
    Ok((!text.is_empty()).then(|| text.to_string()))
}

/// The value of an attribute of one whole number.
pub(super) fn integer(object: &InMemDicomObject, tag: Tag) -> Result<Option<i64>, Fault> {
    let Some(number) = number(object, tag)? else { return Ok(None) };
    // Whole numbers up to 2^53 are exact.
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Ok(Some(number as i64))
    } else {
        Err(misstated(format!("{}: expected a whole number, found {number}", name(tag))))
    }
}

/// The value of a numeric attribute of one: a finite number.
pub(super) fn number(object: &InMemDicomObject, tag: Tag) -> Result<Option<f64>, Fault> {
    let Some(values) = filled(object, tag)? else { return Ok(None) };
    match values.as_slice() {
        [value] => parse(tag, value).map(Some),
        values => {
            let (name, found) = (name(tag), values.join("\\"));
            Err(misstated(format!("{name}: expected one number, found `{found}`")))
        }
    }
}

/// The values of a numeric attribute that may have several: finite numbers, at least one.
pub(super) fn several(object: &InMemDicomObject, tag: Tag) -> Result<Option<Vec<f64>>, Fault> {
    let Some(values) = filled(object, tag)? else { return Ok(None) };
    values.iter().map(|value| parse(tag, value)).collect::<Result<_, _>>().map(Some)
}

/// All values of a numeric attribute, of which there must be `N`. An empty one is absent.
pub(super) fn numbers<const N: usize>(
    object: &InMemDicomObject,
    tag: Tag,
) -> Result<Option<[f64; N]>, Fault> {
    let Some(values) = split(object, tag)? else { return Ok(None) };
    let numbers = values.iter().map(|value| parse(tag, value)).collect::<Result<Vec<f64>, _>>()?;
    let found = numbers.len();
    let numbers = numbers
        .try_into()
        .map_err(|_| misstated(format!("{}: expected {N} numbers, found {found}", name(tag))))?;
    Ok(Some(numbers))
}

/// The value of an element that is no sequence and not empty.
fn primitive(object: &InMemDicomObject, tag: Tag) -> Result<Option<&PrimitiveValue>, Fault> {
    match object.get(tag).map(|element| element.value()) {
        None | Some(Value::Primitive(PrimitiveValue::Empty)) => Ok(None),
        Some(Value::Primitive(value)) => Ok(Some(value)),
        Some(_) => Err(misstated(format!("{}: expected a value, found a sequence", name(tag)))),
    }
}

/// As [`split`], of an attribute that may be left out but not be empty.
fn filled(object: &InMemDicomObject, tag: Tag) -> Result<Option<Vec<String>>, Fault> {
    let values = split(object, tag)?;
    if values.is_none() && object.get(tag).is_some() {
        return Err(misstated(format!("expected {}, found it empty", name(tag))));
    }
    Ok(values)
}

/// The values as texts, binary numbers written out; `None` if there are none.
pub(super) fn split(object: &InMemDicomObject, tag: Tag) -> Result<Option<Vec<String>>, Fault> {
    let Some(value) = primitive(object, tag)? else { return Ok(None) };
    let unknown = object.get(tag).is_some_and(|element| element.vr() == VR::UN);
    let values: Vec<String> = match value {
        PrimitiveValue::U8(bytes) if unknown => of_unknown(tag, bytes),
        PrimitiveValue::Str(text) => text.split('\\').map(str::to_string).collect(),
        value => value.to_multi_str().to_vec(),
    };
    let trimmed = values.iter().map(|value| value.trim_matches(['\0', ' ']).to_string());
    let values: Vec<String> = trimmed.collect();
    Ok(values.iter().any(|value| !value.is_empty()).then_some(values))
}

/// The values in the bytes of an element whose value representation an earlier program did not
/// know. They are little-endian (PS3.5, 6.2.2), and the dictionary says what they are.
fn of_unknown(tag: Tag, bytes: &[u8]) -> Vec<String> {
    let vr = StandardDataDictionary.by_tag(tag).map(|entry| entry.vr().relaxed());
    let words = bytes.as_chunks::<2>().0.iter();
    match vr {
        Some(VR::SS) => words.map(|word| i16::from_le_bytes(*word).to_string()).collect(),
        Some(VR::US) => words.map(|word| u16::from_le_bytes(*word).to_string()).collect(),
        Some(VR::FD) => {
            let words = bytes.as_chunks::<8>().0.iter();
            words.map(|word| f64::from_le_bytes(*word).to_string()).collect()
        }
        _ => String::from_utf8_lossy(bytes).split('\\').map(str::to_string).collect(),
    }
}

fn parse(tag: Tag, value: &str) -> Result<f64, Fault> {
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| {
        misstated(format!("{}: expected a number as in -1024.5, found `{value}`", name(tag)))
    })
}
