//! An update from a safetensors file: its values, in the order in which they lie there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::canary::Canary;

/// A file that is no update.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The system says no.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no such file.
    #[error("{path} is no update: expected a safetensors file of 32-bit floats (F32)", path = .0.display())]
    Format(PathBuf),
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    data_offsets: [usize; 2],
}

/// Reads an update to look for; it is called as its file.
///
/// # Errors
/// [`UpdateError`].
pub fn read_update(path: &Path) -> Result<Canary, UpdateError> {
    let bytes =
        fs::read(path).map_err(|source| UpdateError::Read { path: path.to_owned(), source })?;
    let values = values(&bytes).ok_or_else(|| UpdateError::Format(path.to_owned()))?;
    Ok(Canary { name: path.display().to_string(), values })
}

fn values(bytes: &[u8]) -> Option<Vec<f32>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, data) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).ok()?;
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let tensors: Option<Vec<Tensor>> =
        tensors.map(|(_, tensor)| serde_json::from_value(tensor).ok()).collect();
    let mut tensors = tensors?;
    tensors.sort_by_key(|tensor| tensor.data_offsets);
    let mut all = Vec::new();
    for Tensor { dtype, data_offsets: [start, end] } in tensors {
        if dtype != "F32" {
            return None;
        }
        let (words, rest) = data.get(start..end)?.as_chunks::<4>();
        if !rest.is_empty() {
            return None;
        }
        all.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_read_in_the_order_in_which_it_lies_there() {
        let header = br#"{"__metadata__":{"a":"b"},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let data: Vec<u8> = [1.0f32, -2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let file = [&(header.len() as u64).to_le_bytes()[..], header, &data].concat();
        assert_eq!(values(&file).unwrap(), [1.0, -2.0, 3.0]);
        assert_eq!(values(&file[..file.len() - 1]), None);
        assert_eq!(values(b"not one"), None);
        let halves = String::from_utf8_lossy(&file).replace("F32", "F16");
        assert_eq!(values(halves.as_bytes()), None);
    }
}
