//! The test vectors `v2` of models: their digests, and the one that follows a round. See
//! `crypto/tests/vectors/README.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[macro_use]
#[path = "../../../crypto/tests/vectors/files.rs"]
#[allow(dead_code, reason = "words of ciphertexts are the other programs'")]
mod files;

use std::collections::BTreeMap;

use files::refused;
use ringfence_weights::{MeanStep, MeanStepState, Weights, WeightsError};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use serde_json::Value;

/// Where the vectors lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crypto/tests/vectors/v2");

checks! { FOLDER, "model";
    model_digest => digest,
    model_bad => bad,
    model_step => step,
    model_step_bad => step_bad,
    model_after_round => after_round,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Of the values, row-major.
    bits: Vec<u32>,
}

/// The tensors as a file in this order gives them.
fn model(tensors: &[Tensor]) -> Weights {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.bits.iter().flat_map(|bits| bits.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        (&tensor.name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
    });
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    Weights::load(&path).unwrap()
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.values().map(f32::to_bits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "{text}");
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| byte(pair)).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Digests {
    cases: Vec<Case>,
    otherwise: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    tensors: Vec<Tensor>,
    hashed: String,
    digest: String,
}

fn digest(_: &str, file: Digests) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for Case { name, tensors, hashed, digest } in &file.cases {
        let model = model(tensors);
        model.check_finite().unwrap();
        assert_eq!(hex(&model.digest()), *digest, "{name}");
        assert_eq!(*blake3::hash(&unhex(hashed)).to_hex(), **digest, "{name}");
        assert_eq!(seen.insert(digest.clone(), name), None, "{name}");
    }
    assert!(!file.otherwise.is_empty());
    for (reading, digest) in &file.otherwise {
        assert_eq!(seen.insert(digest.clone(), reading), None, "{reading}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    tensors: Vec<Tensor>,
    error: String,
}

fn bad(_: &str, file: Bad) {
    refused(model(&file.tensors).check_finite(), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    base: Vec<Tensor>,
    mean: Vec<Tensor>,
    next: Vec<Tensor>,
    digest: String,
}

/// By both ways that there are: the mean step `add`, and base plus mean.
fn added(base: &Weights, mean: &Weights) -> Result<Weights, WeightsError> {
    let next = MeanStepState::new(MeanStep::Add).apply(base, mean);
    match (&next, base.add(mean)) {
        (Ok(next), Ok(sum)) => assert_eq!(bits(next), bits(&sum)),
        (next, sum) => assert_eq!(next.is_ok(), sum.is_ok()),
    }
    next
}

fn step(_: &str, file: Step) {
    let next = added(&model(&file.base), &model(&file.mean)).unwrap();
    assert_eq!(bits(&next), bits(&model(&file.next)));
    assert_eq!(hex(&next.digest()), file.digest);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadStep {
    base: Vec<Tensor>,
    mean: Vec<Tensor>,
    error: String,
}

fn step_bad(_: &str, file: BadStep) {
    refused(added(&model(&file.base), &model(&file.mean)), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AfterRound {
    layout: Vec<Named>,
    base_label: String,
    base_digest: String,
    mean_of: String,
    first: String,
    last: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    shape: Vec<usize>,
}

fn after_round(_: &str, file: AfterRound) {
    let shapes: Vec<_> =
        file.layout.into_iter().map(|Named { name, shape }| (name, shape)).collect();
    let round: Value = files::read(FOLDER, &file.mean_of);
    let mean = unhex(round["mean"].as_str().unwrap());
    let mean: Vec<f32> =
        mean.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let mut drawn = vec![0; 2 * mean.len()];
    files::stream(&file.base_label).fill(&mut drawn);
    let base = drawn.as_chunks::<2>().0.iter().map(|pair| {
        let number = f64::from(u16::from_le_bytes(*pair) % 2001) - 1000.0;
        (number / 1000.0) as f32
    });
    let base = Weights::from_values(&shapes, base.collect()).unwrap();
    assert_eq!(hex(&base.digest()), file.base_digest);
    let next = added(&base, &Weights::from_values(&shapes, mean).unwrap()).unwrap();
    let values: Vec<u8> = next.values().flat_map(f32::to_le_bytes).collect();
    assert_eq!(hex(&values[..32]), file.first);
    assert_eq!(hex(&values[values.len() - 32..]), file.last);
    assert_eq!(hex(&next.digest()), file.digest);
}
