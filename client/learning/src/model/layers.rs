//! Layers as functions of named parameters, and how their parameters are first drawn.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand_distr::{Distribution, Normal};
use ringfence_nn::{Conv2d, ConvNorm, ConvNormParameters, GroupNorm};

use super::tape::Names;
use crate::error::LearnError;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

/// Names and shapes of a model's tensors.
pub(crate) type Shapes = Vec<(String, Vec<usize>)>;

/// First weights for `shapes`, fixed by `seed`: a `*.kernel` is drawn from a normal distribution
/// of variance `2 / fan_in` (He et al., "Delving Deep into Rectifiers", 2015), `*.scale` is one,
/// `head.bias` is `prior` and everything else zero.
///
/// # Errors
/// [`LearnError::Weights`] when a name comes twice.
pub(crate) fn initial(
    mut shapes: Shapes,
    prior: f32,
    seed: u64,
) -> std::result::Result<Weights, LearnError> {
    shapes.sort();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut values = Vec::new();
    for (name, shape) in &shapes {
        let count = shape.iter().product::<usize>();
        if name.ends_with(".kernel") {
            let fan_in = shape[1..].iter().product::<usize>().max(1);
            let deviation = (2.0 / fan_in as f32).sqrt();
            let normal = Normal::new(0.0, deviation)
                .map_err(|error| LearnError::Model(error.to_string()))?;
            values.extend(normal.sample_iter(&mut rng).take(count));
        } else {
            let value = match name.as_str() {
                "head.bias" => prior,
                name if name.ends_with(".scale") => 1.0,
                _ => 0.0,
            };
            values.extend(std::iter::repeat_n(value, count));
        }
    }
    Ok(Weights::from_values(&shapes, values)?)
}

/// Images `[b, c, h, w]` as the layers take them: `[b, h, w, c]`.
pub(super) fn channels_last(images: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = images.dims4()?;
    // Of one channel, first and last are the same.
    if c == 1 { images.reshape((b, h, w, c)) } else { images.permute((0, 2, 3, 1))?.contiguous() }
}

/// Shapes of a 3x3 convolution without bias, followed by a group normalisation.
pub(crate) fn conv_norm_shapes(name: &str, from: usize, to: usize) -> Shapes {
    vec![
        (format!("{name}.conv.kernel"), vec![to, from, 3, 3]),
        (format!("{name}.norm.bias"), vec![to]),
        (format!("{name}.norm.scale"), vec![to]),
    ]
}

/// 3x3 convolution, group normalisation, ReLU: `[b, h, w, c]` to `[b, h, w, o]`.
///
/// The convolution has no bias, since the normalisation would take it away again.
pub(crate) fn conv_norm_relu(
    p: &Parameters,
    name: &str,
    groups: usize,
    x: &Tensor,
) -> Result<Tensor> {
    conv_then_norm(p, (name, name), groups, x)
}

/// The same with names of their own for the convolution and the normalisation.
pub(super) fn conv_then_norm(
    p: &Parameters,
    (conv, norm): (&str, &str),
    groups: usize,
    x: &Tensor,
) -> Result<Tensor> {
    let names =
        [format!("{conv}.conv.kernel"), format!("{norm}.norm.scale"), format!("{norm}.norm.bias")];
    let [k, s, b] = names.each_ref().map(String::as_str);
    let (kernel, scale, shift) = (p.get(k)?, p.get(s)?, p.get(b)?);
    if p.bend() > 0.0 {
        let y = GroupNorm::new(groups).apply(&THREE.apply(x, kernel, None)?, scale, shift)?;
        return relu(p, &y);
    }
    let layer = ConvNorm { conv: THREE, norm: GroupNorm::new(groups).with_relu() };
    let parameters = ConvNormParameters { kernel, bias: None, scale, shift };
    match p.tape() {
        None => layer.apply(x, &parameters),
        Some(tape) => {
            let names = Names { kernel: Some(k), bias: None, scale: Some(s), shift: Some(b) };
            layer.apply_recorded(x, &parameters, &tape.layer(names)?)
        }
    }
}

/// A 3x3 convolution that keeps the side.
pub(super) const THREE: Conv2d = Conv2d { stride: 1, padding: 1, dilation: 1, groups: 1 };

/// A convolution alone, by its tensors' names.
pub(super) fn conv(
    p: &Parameters,
    settings: Conv2d,
    (kernel, bias): (&str, Option<&str>),
    x: &Tensor,
) -> Result<Tensor> {
    let names = Names { kernel: Some(kernel), bias, ..Names::default() };
    let (kernel, bias) = (p.get(kernel)?, bias.map(|name| p.get(name)).transpose()?);
    match p.tape() {
        None => settings.apply(x, kernel, bias),
        Some(tape) => settings.apply_recorded(x, kernel, bias, &tape.layer(names)?),
    }
}

/// Group normalisation and ReLU.
pub(super) fn norm_relu(p: &Parameters, name: &str, groups: usize, x: &Tensor) -> Result<Tensor> {
    let (s, b) = (format!("{name}.norm.scale"), format!("{name}.norm.bias"));
    let (scale, shift) = (p.get(&s)?, p.get(&b)?);
    if p.bend() > 0.0 {
        return relu(p, &GroupNorm::new(groups).apply(x, scale, shift)?);
    }
    let layer = GroupNorm::new(groups).with_relu();
    match p.tape() {
        None => layer.apply(x, scale, shift),
        Some(tape) => {
            let names = Names { scale: Some(&s), shift: Some(&b), ..Names::default() };
            layer.apply_recorded(x, scale, shift, &tape.layer(names)?)
        }
    }
}

/// `max(x, 0)`; with parameters that bend over a width `w`, `(x + sqrt(x^2 + w^2)) / 2`.
pub(super) fn relu(p: &Parameters, x: &Tensor) -> Result<Tensor> {
    let width = p.bend();
    if width > 0.0 { ((x.sqr()? + width * width)?.sqrt()? + x)? * 0.5 } else { x.relu() }
}

/// Shapes of a [`dense`] layer.
pub(crate) fn dense_shapes(name: &str, from: usize, to: usize) -> Shapes {
    vec![(format!("{name}.kernel"), vec![to, from]), (format!("{name}.bias"), vec![to])]
}

/// `x [b, i]` times `kernel [o, i]` plus `bias [o]`: `[b, o]`.
pub(crate) fn dense(p: &Parameters, name: &str, x: &Tensor) -> Result<Tensor> {
    let (k, b) = (format!("{name}.kernel"), format!("{name}.bias"));
    let (kernel, bias) = (p.get(&k)?, p.get(&b)?);
    match p.tape() {
        None => ringfence_nn::dense(x, kernel, bias),
        Some(tape) => {
            let names = Names { kernel: Some(&k), bias: Some(&b), ..Names::default() };
            ringfence_nn::dense_recorded(x, kernel, bias, &tape.layer(names)?)
        }
    }
}

/// Mean binary cross-entropy of logits `z` against `y` in {0, 1}, of equal shape:
/// `max(z, 0) - z y + ln(1 + exp(-|z|))`, which neither overflows nor loses small values.
pub(crate) fn binary_cross_entropy(z: &Tensor, y: &Tensor) -> Result<Tensor> {
    let softplus = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    ((z.relu()? - (z * y)?)? + softplus)?.mean_all()
}

/// One minus the soft Dice coefficient `(2 sum(p y) + 1) / (sum(p) + sum(y) + 1)` of each image
/// with a lesion, and 0 for the others, averaged over all images; `p = sigmoid(z)`. `z` and `y`
/// are `[b, n]`. (Milletari et al., "V-Net", 2016, with the usual additive smoothing.)
///
/// An image without lesion has no Dice coefficient (0/0). Its smoothed one would pull every
/// logit down with full force until hardly a pixel is left; cross-entropy alone judges it.
pub(crate) fn dice_loss(z: &Tensor, y: &Tensor) -> Result<Tensor> {
    let p = sigmoid(z)?;
    let both = ((&p * y)?.sum(D::Minus1)? * 2.0)?;
    let total = (p.sum(D::Minus1)? + y.sum(D::Minus1)?)?;
    let dice = ((both + 1.0)? / (total + 1.0)?)?;
    let ill = y.sum(D::Minus1)?.clamp(0.0, 1.0)?;
    ((1.0 - dice)? * ill)?.mean_all()
}
