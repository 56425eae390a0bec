use ringfence_crypto::layout::TensorLayout;
use ringfence_crypto::statement::SiteLevel;

use super::parameters::SiteNoiseRequest;
use super::*;
use crate::encrypt::blocks::EncryptError;
use crate::encrypt::check::CheckKey;
use crate::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use crate::testing::rng;

const VALUES: usize = 10_000;
const CLIP: f32 = 2.0;
const ELEMENT_BOUND: f32 = 0.5;
const BITS: u8 = 10;

fn layout() -> Layout {
    let tensor = TensorLayout { name: "w".into(), shape: vec![VALUES as u32], clip: ELEMENT_BOUND };
    Layout { tensors: vec![tensor] }
}

/// `R = 2 / (2 * 0.5 / 1023) = 2046`.
fn noise() -> SiteNoise {
    let policy = SiteLevel { clip: CLIP, noise_multiplier: 1.0, delta: 1e-5, epsilon: 8.0 };
    SiteNoise::derive(SiteNoiseRequest {
        values: VALUES,
        value_bits: BITS,
        element_bound: ELEMENT_BOUND,
        policy,
        min_sites: 5,
        collusion: 1,
    })
    .unwrap()
}

fn packing() -> Packing {
    Packing::derive(BITS, noise().noise_bound(), 5, 1).unwrap()
}

/// Updates that rounding, clipping and the reference's signs treat worst.
fn adversarial() -> Vec<(&'static str, Vec<f32>)> {
    let step = 2.0 * ELEMENT_BOUND / 1023.0;
    let each = CLIP / (VALUES as f32).sqrt();
    let alternating = |value: f32| {
        (0..VALUES).map(|i| if i % 2 == 0 { -value } else { value }).collect::<Vec<f32>>()
    };
    let mut spike = vec![0.0; VALUES];
    spike[..16].fill(ELEMENT_BOUND);
    vec![
        ("zero", vec![0.0; VALUES]),
        ("one sign, at the clip", vec![-each; VALUES]),
        ("the other sign", vec![each; VALUES]),
        ("away from the reference, at the clip", alternating(each)),
        ("towards the reference", alternating(-each)),
        // A rounding's variance is largest half-way: x / s is whole.
        ("half-way between steps", alternating((each / step).floor() * step)),
        ("huge", alternating(1e30)),
        ("the largest floats", vec![f32::MAX; VALUES]),
        ("tiny", vec![1e-38; VALUES]),
        ("few large values", spike),
    ]
}

/// However the dice fall, what is sent is within the sensitivity, in integers; and rounding alone,
/// without the check after it, is not.
#[test]
fn the_sensitivity_holds_for_every_rounding_of_every_update() {
    let (noise, layout, packing) = (noise(), layout(), packing());
    let most = u128::from(noise.sensitivity_squared());
    let mut beyond = 0;
    for (name, update) in adversarial() {
        for seed in 0..12 {
            let mut rng = rng(seed);
            let (sent, fate) = noise.quantize(&update, &layout, &packing, &mut rng).unwrap();
            let sent = sent.unwrap();
            let squared = squared_distance(sent.expose(), &packing);
            assert!(squared <= most, "{name}: {squared} of {most}");
            // Nothing is scaled down needlessly far.
            let clipped = (f64::from(CLIP) / fate.norm).min(1.0);
            let least = if name.starts_with("away") || name.starts_with("half") || name == "huge" {
                0.94
            } else {
                0.99
            };
            assert!(fate.factor > least * clipped, "{name}: {fate:?}");
            let once =
                QuantizedUpdate::quantize_scaled(&update, clipped, &layout, &packing, &mut rng);
            beyond += usize::from(squared_distance(once.unwrap().expose(), &packing) > most);
        }
    }
    assert!(beyond > 20, "{beyond} roundings were beyond the sensitivity");
}

#[test]
fn an_update_that_cannot_be_fitted_is_replaced_by_the_reference() {
    let (layout, packing) = (layout(), packing());
    let strict = noise().with_sensitivity_squared(100);
    let mut rng = rng(1);
    let (sent, fate) = strict.quantize(&[0.1; VALUES], &layout, &packing, &mut rng).unwrap();
    assert!(sent.is_none() && fate.factor == 0.0);
    let noised = strict.add(&[0.1; VALUES], &layout, &packing, &mut rng).unwrap();
    let without: f64 = noised
        .expose()
        .enumerate()
        .map(|(i, value)| {
            f64::from(value) - f64::from(strict.noise_bound() + reference(i, &packing))
        })
        .map(|e| e * e)
        .sum();
    let sigma = (without / VALUES as f64).sqrt() / strict.sampler().sigma();
    // Six standard deviations, 1 / sqrt(2 * 10^4) each.
    assert!((sigma - 1.0).abs() < 0.043, "{sigma}");
}

#[test]
fn the_distance_from_the_reference_is_computed_in_whole_numbers() {
    let packing = packing();
    let at: Vec<u32> = (0..9000).map(|i| reference(i, &packing)).collect();
    assert_eq!((at[0], at[1], at[4096], at[4097]), (512, 511, 512, 511));
    assert_eq!(squared_distance(&at, &packing), 0);
    let mut off = at.clone();
    (off[3], off[4096], off[8999]) = (at[3] + 5, at[4096] - 7, 0);
    assert_eq!(squared_distance(&off, &packing), 25 + 49 + 511 * 511);
    let widest = Packing { value_bits: 24, ..packing };
    let far = vec![0; 100_000];
    let expected = 50_000 * ((1u128 << 46) + ((1u128 << 23) - 1).pow(2));
    assert_eq!(squared_distance(&far, &widest), expected);
}

#[test]
fn noise_is_added_to_what_was_quantized_and_stays_in_its_room() {
    let (noise, layout, packing) = (noise(), layout(), packing());
    let mut rng = rng(5);
    let update: Vec<f32> = (0..VALUES).map(|i| (i as f32 * 0.7).sin() * 0.02).collect();
    let (mut sum, mut squares) = (0.0, 0.0);
    let (step, bound) = (f64::from(ELEMENT_BOUND) * 2.0 / 1023.0, f64::from(noise.noise_bound()));
    for _ in 0..10 {
        let noised = noise.add(&update, &layout, &packing, &mut rng).unwrap();
        let factor = noised.fate().factor;
        for (value, x) in noised.expose().zip(&update) {
            assert!(u64::from(value) <= packing.value_limit() + 2 * u64::from(noise.noise_bound()));
            let exact = f64::from(*x) * factor / step + 1023.0 / 2.0;
            let off = f64::from(value) - bound - exact;
            sum += off;
            squares += off * off;
        }
    }
    let (count, sigma) = (10.0 * VALUES as f64, noise.sampler().sigma());
    assert!((sum / count).abs() < 6.0 * sigma / count.sqrt(), "bias {}", sum / count);
    let relative = squares / count / (sigma * sigma);
    assert!((relative - 1.0).abs() < 6.0 * (2.0 / count).sqrt() + 1.0 / sigma, "{relative}");
}

#[test]
fn bad_updates_are_refused_with_the_place() {
    let (noise, layout, packing) = (noise(), layout(), packing());
    let mut update = vec![0.0; VALUES];
    update[4711] = f32::NAN;
    let error = noise.add(&update, &layout, &packing, &mut rng(1)).unwrap_err().to_string();
    assert!(error.starts_with("value 4711 of tensor \"w\" is NaN"), "{error}");
    update[4711] = f32::INFINITY;
    let error = noise.add(&update, &layout, &packing, &mut rng(1)).unwrap_err().to_string();
    assert!(error.starts_with("value 4711 of tensor \"w\" is inf"), "{error}");
    let error = noise.add(&update[1..], &layout, &packing, &mut rng(1)).unwrap_err();
    assert_eq!(error, QuantizeError::Length { expected: VALUES, got: VALUES - 1 });
}

/// A study with room for noise takes no values without it, and one without room none with it.
#[test]
fn what_lacks_its_noise_cannot_be_encrypted() {
    let mut rng = rng(2);
    let (layout, check_key) = (layout(), CheckKey::generate(&mut rng));
    let with_room = packing();
    let without = Packing::derive(BITS, 0, 5, 1).unwrap();
    let mut refused = |packing: &Packing, kind: u8| {
        let context = EncryptionContext {
            manifest: ringfence_crypto::Digest::of(b"round").into(),
            packing,
            layout: &layout,
            range: ringfence_crypto::statement::Summands::alike(1, packing),
            check_key: &check_key,
        };
        let key = OneTimeKey::generate(&mut rng);
        match kind {
            0 => key.start::<f32>(context, &mut rng).err(),
            1 => key.start::<u32>(context, &mut rng).err(),
            _ => key.start::<NoisedValue>(context, &mut rng).err(),
        }
    };
    for kind in [0, 1] {
        assert!(refused(&without, kind).is_none());
        let error = refused(&with_room, kind).unwrap();
        assert!(matches!(error, EncryptError::Noise { noised: false, .. }), "{error}");
        assert!(error.to_string().contains("the update comes without noise"), "{error}");
    }
    assert!(refused(&with_room, 2).is_none());
    let error = refused(&without, 2).unwrap();
    assert!(matches!(error, EncryptError::Noise { noised: true, noise_bound: 0 }), "{error}");
}
