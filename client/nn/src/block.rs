//! Convolution, normalisation and ReLU as one operation.
//!
//! One after the other they compute the same. As one, candle neither keeps nor clears nor adds up
//! a gradient of what lies between them, three passes over memory for each convolution.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::buffer::{AnyBuffer, Buffer, Kept};
use crate::conv::{Conv2d, Element, InputGradient, KernelGradient, element};
use crate::norm::passes::{Moments, Passes, Sizes};
use crate::norm::{GroupNorm, differentiable};
use crate::record::{ImageRows, Left, Products, Record, anchored};
use crate::resample::{channel_sums, sum_to_channels};
use crate::storage::{for_float, keeps_graph, tensor_values, values};

/// A convolution and the normalisation that follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv2d,
    /// The normalisation, with its ReLU if it has one.
    pub norm: GroupNorm,
}

/// The tensors that a [`ConvNorm`] is applied with.
#[derive(Clone, Copy, Debug)]
pub struct ConvNormParameters<'a> {
    /// The convolution's kernel.
    pub kernel: &'a Tensor,
    /// The convolution's bias, if it has one.
    pub bias: Option<&'a Tensor>,
    /// The normalisation's scale.
    pub scale: &'a Tensor,
    /// What the normalisation adds: its bias.
    pub shift: &'a Tensor,
}

impl ConvNorm {
    /// [`Conv2d::apply`] of `x`, kernel and bias, then [`GroupNorm::apply`] with scale and shift.
    /// Derivatives of any order exist for all five.
    ///
    /// # Errors
    /// As theirs.
    pub fn apply(&self, x: &Tensor, parameters: &ConvNormParameters<'_>) -> Result<Tensor> {
        let ConvNormParameters { kernel, bias, scale, shift } = *parameters;
        if !x.device().is_cpu() {
            return self.norm.apply(&self.conv.apply(x, kernel, bias)?, scale, shift);
        }
        let rows: Vec<&Tensor> = [scale, shift].into_iter().chain(bias).collect();
        let rows = Tensor::stack(&rows, 0)?.contiguous()?;
        let operation = Operation { settings: *self, between: OnceLock::new(), record: None };
        x.contiguous()?.apply_op3(&kernel.contiguous()?, &rows, operation)
    }

    /// [`ConvNorm::apply`] to `f32` values on the CPU. The parameters' gradients are left in the
    /// record.
    ///
    /// # Errors
    /// As [`ConvNorm::apply`].
    pub fn apply_recorded(
        &self,
        x: &Tensor,
        parameters: &ConvNormParameters<'_>,
        record: &Record,
    ) -> Result<Tensor> {
        let ConvNormParameters { kernel, bias, scale, shift } = *parameters;
        let rows: Vec<Tensor> =
            [scale, shift].into_iter().chain(bias).map(Tensor::detach).collect();
        let rows = anchored(&Tensor::stack(&rows, 0)?)?;
        let record = Some(record.clone());
        let operation = Operation { settings: *self, between: OnceLock::new(), record };
        x.contiguous()?.apply_op3(&kernel.detach().contiguous()?, &rows, operation)
    }
}

/// `(x, kernel, [scale, shift] or [scale, shift, bias])` to the result.
#[derive(Debug)]
struct Operation {
    settings: ConvNorm,
    /// The convolution and each image's groups' moments, kept for the way back.
    between: OnceLock<(AnyBuffer, Vec<Moments>)>,
    /// Where the parameters' gradients go, if not into those of the batch.
    record: Option<Record>,
}

/// The operation's inputs, on the way back.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    x: &'a Tensor,
    kernel: &'a Tensor,
    rows: &'a Tensor,
}

/// Scale, shift and, if there is one, bias.
type Rows<'a, T> = (&'a [T], &'a [T], Option<&'a [T]>);

/// The rows of `[scale, shift]` or `[scale, shift, bias]`.
fn split<T>(rows: &[T], width: usize) -> Result<Rows<'_, T>> {
    let mut rows = rows.chunks_exact(width.max(1));
    match (rows.next(), rows.next()) {
        (Some(scale), Some(shift)) => Ok((scale, shift, rows.next())),
        _ => bail!("expected a scale and a shift of {width} channels"),
    }
}

impl Operation {
    fn shapes(&self, x: &Shape, kernel: &Shape) -> Result<(element::Shape, Shape, Sizes)> {
        let shape = element::Shape::of(&self.settings.conv, x.dims4()?, kernel.dims4()?)?;
        let out = Shape::from(shape.output());
        let sizes = Sizes::of(&self.settings.norm, &out)?;
        Ok((shape, out, sizes))
    }
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        "convolution-group-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        kernel: &CpuStorage,
        kernel_at: &Layout,
        rows: &CpuStorage,
        rows_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (shape, out_shape, sizes) = self.shapes(x_at.shape(), kernel_at.shape())?;
        if rows_at.dims().last() != Some(&sizes.channels) {
            bail!("expected {} channels to scale and shift, found {rows_at:?}", sizes.channels);
        }
        let GroupNorm { epsilon, relu, .. } = self.settings.norm;
        let out = for_float!(x, T => {
            let (scale, shift, bias) = split(values::<T>(rows, rows_at)?, sizes.channels)?;
            let mut y = Buffer::<T>::of(shape.outputs());
            T::convolve(&shape, (values(x, x_at)?, values(kernel, kernel_at)?, bias), &mut y);
            let passes = Passes { sizes, relu, scale, bias: shift };
            let (out, moments) = passes.forward(epsilon, &y);
            // Fails if the operation runs a second time, on the same input then.
            let _ = self.between.set((T::erased(y), moments));
            out
        });
        Ok((out, out_shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        rows: &Tensor,
        result: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let inputs = Inputs { x, kernel, rows };
        match &self.record {
            Some(record) => Ok((self.leave(inputs, &g.contiguous()?, record)?, None, None)),
            None if keeps_graph() => self.differentiable(inputs, result, g),
            None => self.fused(inputs, &g.contiguous()?),
        }
    }
}

impl Operation {
    fn between<T: Kept>(&self) -> Result<(&[T], &[Moments])> {
        match self.between.get() {
            Some((y, moments)) if let Some(y) = T::values(y) => Ok((y, moments)),
            _ => bail!("expected the convolution from the forward pass, found none"),
        }
    }

    /// The gradient for `x`, if it is asked for; what those of the parameters are made from goes
    /// into the record.
    fn leave(
        &self,
        Inputs { x, kernel, rows }: Inputs<'_>,
        g: &Tensor,
        record: &Record,
    ) -> Result<Option<Tensor>> {
        let (shape, out, sizes) = self.shapes(x.shape(), kernel.shape())?;
        let relu = self.settings.norm.relu;
        let (y, moments) = self.between::<f32>()?;
        let mut of_y = vec![0.0; y.len()];
        let (of_x, found) = tensor_values::<f32, _, 3>([kernel, rows, g], |[k, rows, g]| {
            let (scale, shift, _) = split(rows, sizes.channels)?;
            let passes = Passes { sizes, relu, scale, bias: shift };
            let found = passes.backward(moments, (y, g), &mut of_y);
            let of_x = x.track_op().then(|| f32::input_gradient(&shape, &of_y, k));
            candle_core::Result::Ok((of_x, found))
        })??;
        let products = Products {
            shape,
            kernel: kernel.dims().to_vec(),
            bias: rows.dim(0)? > 2,
            x: x.detach(),
            g: Tensor::from_vec(of_y, out, x.device())?,
        };
        let rows = Some(ImageRows::new(found.images));
        record.leave(Left { products: Some(products), rows })?;
        of_x.map(|of_x| Tensor::from_vec(of_x, x.shape(), x.device())).transpose()
    }

    fn fused(
        &self,
        Inputs { x, kernel, rows }: Inputs<'_>,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (shape, _, sizes) = self.shapes(x.shape(), kernel.shape())?;
        let relu = self.settings.norm.relu;
        macro_rules! run {
            ($type:ty) => {{
                let inputs = [x, kernel, rows, g];
                let (y, moments) = self.between::<$type>()?;
                let (of_x, of_kernel, of_rows) =
                    tensor_values::<$type, _, 4>(inputs, |[x_values, k, rows, g]| {
                        let (scale, shift, bias) = split(rows, sizes.channels)?;
                        let passes = Passes { sizes, relu, scale, bias: shift };
                        let mut of_y = Buffer::<$type>::of(y.len());
                        let found = passes.backward(moments, (y, g), &mut of_y);
                        let of_x = x.track_op().then(|| <$type>::input_gradient(&shape, &of_y, k));
                        let of_k = <$type>::kernel_gradient(&shape, x_values, &of_y);
                        let of_bias = bias.map(|_| channel_sums(&of_y, sizes.channels));
                        let (of_scale, of_shift) = found.scale_and_bias(sizes.channels);
                        let of_rows: Vec<$type> =
                            [of_scale, of_shift].into_iter().chain(of_bias).flatten().collect();
                        candle_core::Result::Ok((of_x, of_k, of_rows))
                    })??;
                let device = x.device();
                (
                    of_x.map(|of_x| Tensor::from_vec(of_x, x.shape(), device)).transpose()?,
                    Some(Tensor::from_vec(of_kernel, kernel.shape(), device)?),
                    Some(Tensor::from_vec(of_rows, rows.shape(), device)?),
                )
            }};
        }
        Ok(match x.dtype() {
            DType::F32 => run!(f32),
            DType::F64 => run!(f64),
            found => bail!("expected f32 or f64 values, found {found:?}"),
        })
    }

    fn differentiable(
        &self,
        Inputs { x, kernel, rows }: Inputs<'_>,
        result: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ConvNorm { conv, norm } = self.settings;
        let bias = (rows.dim(0)? > 2).then(|| rows.get(2)).transpose()?;
        let y = conv.apply(x, kernel, bias.as_ref())?;
        let (of_y, of_scale, of_shift) = differentiable(&norm, &y, &rows.get(0)?, result, g)?;
        let of_y = of_y.contiguous()?;
        let (_, h, w, _) = x.dims4()?;
        let (_, _, kh, kw) = kernel.dims4()?;
        let of_x = of_y.apply_op2(kernel, InputGradient { settings: conv, input: (h, w) })?;
        let of_k = x.apply_op2(&of_y, KernelGradient { settings: conv, kernel: (kh, kw) })?;
        let of_bias = bias.is_some().then(|| sum_to_channels(&of_y)).transpose()?;
        let of_rows: Vec<Tensor> = [of_scale, of_shift].into_iter().chain(of_bias).collect();
        Ok((Some(of_x), Some(of_k), Some(Tensor::stack(&of_rows, 0)?)))
    }
}
