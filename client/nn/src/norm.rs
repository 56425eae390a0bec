//! Group normalisation with scale, bias and, if wanted, ReLU as one operation.
//!
//! Put together from candle's own operations it takes some thirty passes over memory forward and
//! back. Here it takes three forward (sum, squares, result) and two back, the first-order
//! gradient that training needs. A gradient that is itself differentiated is put together from
//! candle's operations, and so has derivatives of any order.

pub(crate) mod passes;
pub(crate) mod settings;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::portable;
use crate::record::{ImageRows, Left, Record, anchored};
use crate::storage::{for_float, keeps_graph, tensor_values, values};
use passes::{Moments, Passes, Sizes};
pub use settings::GroupNorm;

impl GroupNorm {
    /// `x` `[b, h, w, c]`, channels last: each image's channels, taken in equal groups, are
    /// brought to mean 0 and variance 1, then channel `k` is multiplied by `scale[k]` and moved by
    /// `bias[k]`; `scale` and `bias` are `[c]`. Derivatives of any order exist for all three.
    ///
    /// # Errors
    /// When shapes or types do not fit.
    pub fn apply(&self, x: &Tensor, scale: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return portable::group_norm(*self, x, scale, bias);
        }
        self.operate(x, scale, bias, None)
    }

    /// [`GroupNorm::apply`] to `f32` values on the CPU. The gradients of scale and bias are left in
    /// the record.
    ///
    /// # Errors
    /// As [`GroupNorm::apply`].
    pub fn apply_recorded(
        &self,
        x: &Tensor,
        scale: &Tensor,
        bias: &Tensor,
        record: &Record,
    ) -> Result<Tensor> {
        let scale = anchored(scale)?;
        self.operate(x, &scale, &bias.detach(), Some(record.clone()))
    }

    fn operate(
        &self,
        x: &Tensor,
        scale: &Tensor,
        bias: &Tensor,
        record: Option<Record>,
    ) -> Result<Tensor> {
        let (scale, bias) = (scale.contiguous()?, bias.contiguous()?);
        let operation = Operation { settings: *self, moments: OnceLock::new(), record };
        x.contiguous()?.apply_op3(&scale, &bias, operation)
    }
}

#[derive(Debug)]
struct Operation {
    settings: GroupNorm,
    /// Each image's groups, kept for the way back.
    moments: OnceLock<Vec<Moments>>,
    /// Where the gradients of scale and bias go, if not into those of the batch.
    record: Option<Record>,
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        scale: &CpuStorage,
        scale_at: &Layout,
        bias: &CpuStorage,
        bias_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(&self.settings, x_at.shape())?;
        let expected = [sizes.channels];
        if scale_at.dims() != expected || bias_at.dims() != expected {
            bail!("expected a scale and a bias {expected:?}, found {scale_at:?}, {bias_at:?}");
        }
        let GroupNorm { epsilon, relu, .. } = self.settings;
        let out = for_float!(x, T => {
            let (scale, bias) = (values::<T>(scale, scale_at)?, values::<T>(bias, bias_at)?);
            let passes = Passes { sizes, relu, scale, bias };
            let (out, moments) = passes.forward(epsilon, values(x, x_at)?);
            // Fails if the operation runs a second time, on the same input then.
            let _ = self.moments.set(moments);
            out
        });
        Ok((out, x_at.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        if let Some(record) = &self.record {
            let of_x = self.leave([x, scale, bias, &g.contiguous()?], record)?;
            return Ok((x.track_op().then_some(of_x), None, None));
        }
        let (of_x, of_scale, of_bias) = if keeps_graph() {
            differentiable(&self.settings, x, scale, y, g)?
        } else {
            self.fused(x, scale, bias, g)?
        };
        Ok((Some(of_x), Some(of_scale), Some(of_bias)))
    }
}

impl Operation {
    fn moments(&self) -> Result<&[Moments]> {
        match self.moments.get() {
            Some(moments) => Ok(moments),
            None => bail!("expected the groups' moments from the forward pass, found none"),
        }
    }

    /// The gradient for `x`, from `[x, scale, bias, g]`; each image's for scale and bias go into the
    /// record.
    fn leave(&self, inputs: [&Tensor; 4], record: &Record) -> Result<Tensor> {
        let [x, ..] = inputs;
        let sizes = Sizes::of(&self.settings, x.shape())?;
        let (relu, moments) = (self.settings.relu, self.moments()?);
        let (found, of_x) = tensor_values::<f32, _, 4>(inputs, |[x, scale, bias, g]| {
            let mut of_x = vec![0.0; x.len()];
            let passes = Passes { sizes, relu, scale, bias };
            (passes.backward(moments, (x, g), &mut of_x), of_x)
        })?;
        record.leave(Left { products: None, rows: Some(ImageRows::new(found.images)) })?;
        Tensor::from_vec(of_x, x.shape(), x.device())
    }

    fn fused(
        &self,
        x: &Tensor,
        scale: &Tensor,
        bias: &Tensor,
        g: &Tensor,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let sizes = Sizes::of(&self.settings, x.shape())?;
        let relu = self.settings.relu;
        let moments = self.moments()?;
        let g = g.contiguous()?;
        macro_rules! run {
            ($type:ty) => {{
                let (found, of_x) =
                    tensor_values::<$type, _, 4>([x, scale, bias, &g], |[x, scale, bias, g]| {
                        let mut of_x = vec![<$type>::default(); x.len()];
                        let passes = Passes { sizes, relu, scale, bias };
                        (passes.backward(moments, (x, g), &mut of_x), of_x)
                    })?;
                let (of_scale, of_bias) = found.scale_and_bias(sizes.channels);
                (
                    Tensor::from_vec(of_x, x.shape(), x.device())?,
                    Tensor::from_vec(of_scale, sizes.channels, x.device())?,
                    Tensor::from_vec(of_bias, sizes.channels, x.device())?,
                )
            }};
        }
        Ok(match x.dtype() {
            DType::F32 => run!(f32),
            DType::F64 => run!(f64),
            found => bail!("expected f32 or f64 values, found {found:?}"),
        })
    }
}

/// The gradients for `x`, scale and bias as candle's operations. With
/// `n = (x - mean) / deviation`, `g' = g` where `y > 0`, `u = g' scale`: `sum g'` for the bias,
/// `sum g' n` for the scale, `(u - mean(u) - n mean(u n)) / deviation` for `x`, with means over
/// groups.
pub(crate) fn differentiable(
    settings: &GroupNorm,
    x: &Tensor,
    scale: &Tensor,
    y: &Tensor,
    g: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let Sizes { images, pixels, channels, groups } = Sizes::of(settings, x.shape())?;
    let grouped = (images, pixels, groups, channels / groups);
    let mean = |x: &Tensor| x.mean_keepdim((1, 3));
    let g = if settings.relu { (g * y.detach().gt(0.0)?.to_dtype(g.dtype())?)? } else { g.clone() };
    let g = g.reshape(grouped)?;
    let centred = x.reshape(grouped)?;
    let centred = centred.broadcast_sub(&mean(&centred)?)?;
    let deviation = (mean(&centred.sqr()?)? + settings.epsilon)?.sqrt()?;
    let n = centred.broadcast_div(&deviation)?;
    let u = g.broadcast_mul(&scale.reshape((1, 1, groups, channels / groups))?)?;
    let of_n = n.broadcast_mul(&mean(&(&u * &n)?)?)?;
    let of_x = (u.broadcast_sub(&mean(&u)?)? - of_n)?.broadcast_div(&deviation)?;
    let to_channels = |of: Tensor| of.sum((0, 1))?.reshape(channels);
    Ok((of_x.reshape(x.shape())?, to_channels((&g * n)?)?, to_channels(g)?))
}
