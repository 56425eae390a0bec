//! Group normalisation, scaling and ReLU in one pass.
//!
//! Written as candle's own operations it takes some thirty passes over memory forward and back,
//! among them sums over strided dimensions that run element by element: most of a
//! training step's time. As one operation it takes three forward and four back.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::ops::contiguous;

/// Added to a variance before its root is taken, as in Wu and He.
const EPSILON: f32 = 1e-5;
/// Partial sums kept side by side, so that the compiler can use vector registers; their order
/// is fixed, and so is the result.
const LANES: usize = 16;

/// Group normalisation (Wu and He, "Group Normalization", 2018) and ReLU: each image's channels,
/// taken in `groups` equal groups, are brought to mean 0 and variance 1, then each channel `c` is
/// scaled by `scale[c]` and moved by `bias[c]`, and what is negative becomes 0.
///
/// `x`: `[b, c, h, w]`; `scale`, `bias`: `[c]`. Has a first derivative, but no second.
///
/// # Errors
/// When the shapes do not fit.
pub fn group_norm_relu(x: &Tensor, groups: usize, scale: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (_, c, _, _) = x.dims4()?;
    if groups == 0 || !c.is_multiple_of(groups) || scale.dims() != [c] || bias.dims() != [c] {
        bail!(
            "expected {c} channels in {groups} equal groups with a scale and a bias each, found {scale:?} and {bias:?}"
        );
    }
    let (scale, bias) = (scale.contiguous()?, bias.contiguous()?);
    x.contiguous()?.apply_op3(&scale, &bias, GroupNormRelu { groups })
}

#[derive(Clone, Copy, Debug)]
struct GroupNormRelu {
    groups: usize,
}

impl CustomOp3 for GroupNormRelu {
    fn name(&self) -> &'static str {
        "group-norm-relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let values = contiguous(x, x_layout)?;
        let (scale, bias) = (contiguous(scale, scale_layout)?, contiguous(bias, bias_layout)?);
        let (_, c, h, w) = x_layout.shape().dims4()?;
        let (channels, pixels) = (c / self.groups, h * w);
        let mut out = vec![0.0; values.len()];
        let groups =
            values.chunks_exact(channels * pixels).zip(out.chunks_exact_mut(channels * pixels));
        for (index, (group, out)) in groups.enumerate() {
            let (mean, inverse) = moments(group);
            let first = index % self.groups * channels;
            let planes = group.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels));
            for (channel, (plane, out)) in planes.enumerate() {
                let factor = inverse * scale[first + channel];
                let offset = bias[first + channel] - mean * factor;
                for (out, value) in out.iter_mut().zip(plane) {
                    *out = (value * factor + offset).max(0.0);
                }
            }
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        _bias: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, c, h, w) = x.dims4()?;
        let sizes = Sizes { groups: self.groups, channels: c / self.groups, pixels: h * w };
        let gradient = gradient.contiguous()?;
        let back = with_values(x, |x| {
            with_values(scale, |scale| {
                with_values(result, |result| {
                    with_values(&gradient, |g| Ok(backward(sizes, x, scale, result, g)))
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(back.x, x.shape(), device)?),
            Some(Tensor::from_vec(back.scale, c, device)?),
            Some(Tensor::from_vec(back.bias, c, device)?),
        ))
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    groups: usize,
    channels: usize,
    pixels: usize,
}

struct Gradients {
    x: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

/// With `n = (x - mean) / deviation`, `y = relu(n scale + bias)` and `g = dL/dy` where `y > 0`:
/// `dL/dbias = sum g`, `dL/dscale = sum g n`, and with `u = g scale`
/// `dL/dx = (u - mean(u) - n mean(u n)) / deviation`, the means being taken over the group.
fn backward(sizes: Sizes, x: &[f32], scale: &[f32], result: &[f32], gradient: &[f32]) -> Gradients {
    let Sizes { groups, channels, pixels } = sizes;
    let (c, group) = (groups * channels, channels * pixels);
    let mut out = Gradients { x: vec![0.0; x.len()], scale: vec![0.0; c], bias: vec![0.0; c] };
    for (index, start) in (0..x.len()).step_by(group).enumerate() {
        let (mean, inverse) = moments(&x[start..start + group]);
        let first = index % groups * channels;
        let (mut of_u, mut of_un) = (0.0, 0.0);
        for channel in 0..channels {
            let plane = start + channel * pixels..start + (channel + 1) * pixels;
            let (g, gn) =
                sums(&x[plane.clone()], &result[plane.clone()], &gradient[plane], mean, inverse);
            out.bias[first + channel] += g;
            out.scale[first + channel] += gn;
            of_u += g * scale[first + channel];
            of_un += gn * scale[first + channel];
        }
        let (mean_u, mean_un) = (of_u / group as f32, of_un / group as f32);
        for channel in 0..channels {
            let plane = start + channel * pixels..start + (channel + 1) * pixels;
            let factor = scale[first + channel];
            let inputs =
                x[plane.clone()].iter().zip(&result[plane.clone()]).zip(&gradient[plane.clone()]);
            for (out, ((x, y), g)) in out.x[plane].iter_mut().zip(inputs) {
                let u = if *y > 0.0 { g * factor } else { 0.0 };
                *out = inverse * (u - mean_u - (x - mean) * inverse * mean_un);
            }
        }
    }
    out
}

/// Mean, and one over the standard deviation.
fn moments(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f32;
    let mean = lanes(values, |value| *value) / count;
    let variance = lanes(values, |value| (value - mean) * (value - mean)) / count;
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

fn lanes(values: &[f32], of: impl Fn(&f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += of(value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(of).sum::<f32>()
}

/// Sums of `g` and of `g n` over the places of one channel where the result is positive.
fn sums(x: &[f32], result: &[f32], gradient: &[f32], mean: f32, inverse: f32) -> (f32, f32) {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = result.as_chunks::<LANES>();
    let (g, g_rest) = gradient.as_chunks::<LANES>();
    let (mut of_g, mut of_gx) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for ((x, y), g) in x.iter().zip(y).zip(g) {
        for lane in 0..LANES {
            let g = if y[lane] > 0.0 { g[lane] } else { 0.0 };
            of_g[lane] += g;
            of_gx[lane] += g * (x[lane] - mean);
        }
    }
    let (mut sum, mut product) = (of_g.iter().sum::<f32>(), of_gx.iter().sum::<f32>());
    for ((x, y), g) in x_rest.iter().zip(y_rest).zip(g_rest) {
        if *y > 0.0 {
            sum += g;
            product += g * (x - mean);
        }
    }
    (sum, product * inverse)
}

/// A tensor's values, without a copy.
fn with_values<T>(tensor: &Tensor, then: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => then(contiguous(storage, layout)?),
        _ => bail!("group-norm-relu: expected a tensor on the CPU"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device, Var};

    use super::*;

    fn numbers(shape: &[usize], salt: f32) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> =
            (0..count).map(|i| (i as f32 * 1.7 + salt).sin() * 2.0 + 0.3).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// The same formula in candle's own operations: forward and, by its own rules, backward.
    fn reference(x: &Tensor, groups: usize, scale: &Tensor, bias: &Tensor) -> Tensor {
        let (b, c, h, w) = x.dims4().unwrap();
        let x = x.reshape((b, groups, c / groups * h * w)).unwrap();
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
        let variance = x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let deviation = (variance + f64::from(EPSILON)).unwrap().sqrt().unwrap();
        let x = x.broadcast_div(&deviation).unwrap().reshape((b, c, h, w)).unwrap();
        let x = x.broadcast_mul(&scale.reshape((c, 1, 1)).unwrap()).unwrap();
        x.broadcast_add(&bias.reshape((c, 1, 1)).unwrap()).unwrap().relu().unwrap()
    }

    #[test]
    fn values_and_gradients_equal_those_of_the_plain_formula() {
        for (b, c, groups, side) in [(2, 8, 4, 5), (3, 4, 1, 8), (1, 8, 8, 2)] {
            let x = Var::from_tensor(&numbers(&[b, c, side, side], 0.1)).unwrap();
            let scale = Var::from_tensor(&numbers(&[c], 0.5)).unwrap();
            let bias = Var::from_tensor(&numbers(&[c], 0.9)).unwrap();
            let pull = numbers(&[b, c, side, side], 0.7);
            let ours = group_norm_relu(&x, groups, &scale, &bias).unwrap();
            let theirs = reference(&x, groups, &scale, &bias);
            let loss = |y: &Tensor| (y * &pull).unwrap().sum_all().unwrap().backward().unwrap();
            let (our, their) = (loss(&ours), loss(&theirs));
            let mut pairs = vec![(ours, theirs)];
            for variable in [&x, &scale, &bias] {
                pairs.push((
                    our.get(variable).unwrap().clone(),
                    their.get(variable).unwrap().clone(),
                ));
            }
            for (ours, theirs) in pairs {
                let gap = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap();
                let gap = gap.max(0).unwrap().to_scalar::<f32>().unwrap();
                assert!(gap < 2e-4, "{b} {c} {groups}: {gap}");
            }
        }
    }

    #[test]
    fn channels_that_do_not_make_groups_are_refused() {
        let (x, six) = (numbers(&[1, 6, 4, 4], 0.0), numbers(&[6], 0.0));
        assert!(group_norm_relu(&x, 4, &six, &six).is_err());
        assert!(group_norm_relu(&x, 3, &numbers(&[5], 0.0), &six).is_err());
    }
}
