//! Clipping, weighing and quantizing; the weighted mean and the model that follows.

use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::statement::{HexBytes, Summands, Weighting};
use serde::Deserialize;

use super::parts::floats;
use crate::testing;
use crate::update::precision::Precision;
use crate::update::quantize::{Quantizer, mean};
use crate::update::weigh::clip_and_weigh;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightingFile {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    counts: Vec<u32>,
    clip: f32,
    value_bits: u8,
    sites: Vec<Site>,
    places: Vec<usize>,
    correction: HexBytes,
    range: [u64; 2],
    sums: Vec<u64>,
    mean: HexBytes,
    rounded_once: HexBytes,
    base: HexBytes,
    next: HexBytes,
    step: f64,
    rms_error: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Site {
    place: usize,
    factor: HexBytes,
    values: HexBytes,
    weighed: HexBytes,
    weighed_before_clipping: HexBytes,
    dither: HexBytes,
    quantized: Vec<u64>,
    range: [u64; 2],
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn double(bytes: &HexBytes) -> u64 {
    u64::from_le_bytes(bytes.0.as_slice().try_into().unwrap())
}

pub(super) fn weighting(_: &str, file: WeightingFile) {
    let mut other_readings = [0; 2];
    for case in &file.cases {
        let weighting = Weighting::SampleCounts(case.counts.clone());
        let layout = |values: usize| Layout {
            tensors: vec![TensorLayout {
                name: "w".into(),
                shape: vec![values as u32],
                clip: case.clip,
            }],
        };
        let packing = Packing::derive(case.value_bits, 0, case.counts.len(), 1).unwrap();
        assert_eq!(case.sites.iter().map(|site| site.place).collect::<Vec<_>>(), case.places);
        for site in &case.sites {
            let factor = weighting.factor(site.place);
            assert_eq!(factor.to_bits(), double(&site.factor));
            let mut values = floats(&site.values.0);
            let layout = layout(values.len());
            clip_and_weigh(&mut values, &layout, factor);
            assert_eq!(bits(&values), bits(&floats(&site.weighed.0)), "{:?}", case.counts);
            other_readings[0] += usize::from(site.weighed.0 != site.weighed_before_clipping.0);
            let dither = site.dither.0.repeat(packing.block_values());
            let mut coefficients = [0; RING_DEGREE];
            let quantizer = Quantizer::new(&layout, &packing);
            quantizer.fill_block(0, &values, &dither, &mut coefficients).unwrap();
            assert_eq!(coefficients[1..][..values.len()], site.quantized);
        }
        let correction = weighting.correction(case.places.iter().copied());
        assert_eq!(correction.to_bits(), double(&case.correction));
        let layout = layout(case.sums.len());
        let mean = mean(&case.sums, case.places.len(), &layout, &packing);
        let mean = weighting.weighted(mean, case.places.iter().copied());
        assert_eq!(bits(&mean), bits(&floats(&case.mean.0)), "{:?}", case.counts);
        other_readings[1] += usize::from(case.mean.0 != case.rounded_once.0);
        let base = floats(&case.base.0);
        let next: Vec<f32> = base.iter().zip(&mean).map(|(base, mean)| base + mean).collect();
        assert_eq!(bits(&next), bits(&floats(&case.next.0)));

        let (mut study, _) = testing::study(3);
        (study.weighting, study.packing) = (weighting, packing);
        let sites = case.sites.iter().map(|site| (vec![site.place], site.range));
        for (places, [least, most]) in sites.chain([(case.places.clone(), case.range)]) {
            let expected = Summands { sites: places.len(), least, most };
            assert_eq!(study.summands(places), expected);
        }
        // No sum that is opened has a mean beyond the clip bound, but for two steps a site.
        let (clip, room) = (f64::from(case.clip), 2.0 * case.places.len() as f64 * case.step);
        let beyond = |mean: &f32| f64::from(*mean).abs() > clip * (1.0 + room + 1e-6);
        assert!(!mean.iter().any(beyond), "{mean:?}");
        let precision = Precision::of(&study, case.places.iter().copied());
        assert!((precision.step / case.step - 1.0).abs() < 1e-12);
        assert!((precision.rms_error / case.rms_error - 1.0).abs() < 1e-12);
    }
    assert!(other_readings.iter().all(|differ| *differ > 0), "{other_readings:?}");
}
