//! Two-dimensional convolution, its gradients, and theirs.

pub(crate) mod element;
mod gather;
mod kernel_gradient;
mod lanes;
pub(crate) mod settings;
mod window;
mod winograd;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::portable;
use crate::record::{Record, tapped};
use crate::resample::sum_to_channels;
use crate::storage::{for_float, recorded, values};
pub(crate) use element::Element;
pub use settings::Conv2d;

impl Conv2d {
    /// The convolution of `x` `[b, h, w, c]`, channels last, with `kernel` `[o, c / groups, i, j]`
    /// (as candle and PyTorch keep it), plus `bias` `[o]`: `[b, h', w', o]`,
    /// `h' = (h + 2 padding - dilation (i - 1) - 1) / stride + 1`, where
    /// `out[b, y, x, o] = bias[o] + sum over c, i, j of kernel[o, c, i, j] *
    /// x[b, y stride + i dilation - padding, x stride + j dilation - padding, c]`.
    ///
    /// Derivatives of any order exist for all three. Values are `f32`, or `f64` (slowly).
    ///
    /// # Errors
    /// When shapes or types do not fit each other or the settings.
    pub fn apply(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return portable::convolution(*self, x, kernel, bias);
        }
        let (x, kernel) = (x.contiguous()?, kernel.contiguous()?);
        match bias {
            None => x.apply_op2(&kernel, Convolution(*self)),
            Some(bias) => x.apply_op3(&kernel, &bias.contiguous()?, Convolution(*self)),
        }
    }

    /// [`Conv2d::apply`] to `f32` values on the CPU. The gradients of kernel and bias are left in the
    /// record.
    ///
    /// # Errors
    /// As [`Conv2d::apply`].
    pub fn apply_recorded(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: Option<&Tensor>,
        record: &Record,
    ) -> Result<Tensor> {
        let shape = element::Shape::of(self, x.dims4()?, kernel.dims4()?)?;
        let out = self.apply(x, &kernel.detach(), bias.map(Tensor::detach).as_ref())?;
        tapped(&out, (x, kernel), (shape, bias.is_some()), record)
    }

    /// [`Conv2d::apply`] for `x` `[b, c, h, w]`, channels first, to `[b, o, h', w']`. It moves the
    /// channels to the end and back: networks should keep them last instead.
    ///
    /// # Errors
    /// As [`Conv2d::apply`].
    pub fn apply_channels_first(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let out = self.apply(&x.permute((0, 2, 3, 1))?, kernel, bias)?;
        out.permute((0, 3, 1, 2))?.contiguous()
    }
}

/// `x` `[b, i]` times `kernel` `[o, i]` plus `bias` `[o]`: `[b, o]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(&kernel.t()?)?.broadcast_add(bias)
}

/// [`dense`] of `f32` values on the CPU. The gradients of kernel and bias are left in the record.
///
/// # Errors
/// When the shapes do not fit.
pub fn dense_recorded(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    record: &Record,
) -> Result<Tensor> {
    let ((b, i), (o, depth)) = (x.dims2()?, kernel.dims2()?);
    let shape = element::Shape::of(&Conv2d::default(), (b, 1, 1, i), (o, depth, 1, 1))?;
    let out = dense(x, &kernel.detach(), &bias.detach())?;
    tapped(&out, (x, kernel), (shape, true), record)
}

/// `(x, kernel)` or `(x, kernel, bias)` to the convolution.
#[derive(Clone, Copy, Debug)]
struct Convolution(Conv2d);

impl Convolution {
    fn forward(
        &self,
        (x, x_at): (&CpuStorage, &Layout),
        (k, k_at): (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = element::Shape::of(&self.0, x_at.shape().dims4()?, k_at.shape().dims4()?)?;
        let channels = shape.groups * shape.width;
        if let Some((_, at)) = bias
            && at.dims() != [channels]
        {
            bail!("expected a bias [{channels}], found {:?}", at.shape());
        }
        let out = for_float!(x, T => {
            let bias = bias.map(|(bias, at)| values::<T>(bias, at)).transpose()?;
            let mut out = vec![T::default(); shape.outputs()];
            T::convolve(&shape, (values(x, x_at)?, values(k, k_at)?, bias), &mut out);
            out
        });
        Ok((out, Shape::from(shape.output())))
    }

    fn backward(
        &self,
        x: &Tensor,
        k: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, h, w, _) = x.dims4()?;
        let (_, _, kh, kw) = k.dims4()?;
        let (of_x, of_k) = (x.track_op(), k.track_op());
        let (x, k, g) = (&recorded(x), &recorded(k), g.contiguous()?);
        let input_gradient = || g.apply_op2(k, InputGradient { settings: self.0, input: (h, w) });
        let kernel_gradient =
            || x.apply_op2(&g, KernelGradient { settings: self.0, kernel: (kh, kw) });
        Ok((of_x.then(input_gradient).transpose()?, of_k.then(kernel_gradient).transpose()?))
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        k: &CpuStorage,
        k_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_at), (k, k_at), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        k: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, k, g)
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution-with-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        k: &CpuStorage,
        k_at: &Layout,
        bias: &CpuStorage,
        bias_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_at), (k, k_at), Some((bias, bias_at)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        k: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (of_x, of_k) = self.backward(x, k, g)?;
        let of_bias = bias.track_op().then(|| sum_to_channels(g)).transpose()?;
        Ok((of_x, of_k, of_bias))
    }
}

/// `(g, kernel)` to the gradient for `x` of `sum(g * convolution(x, kernel))`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputGradient {
    pub(crate) settings: Conv2d,
    pub(crate) input: (usize, usize),
}

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "convolution-input-gradient"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        g_at: &Layout,
        k: &CpuStorage,
        k_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (images, _, _, o) = g_at.shape().dims4()?;
        let kernel = k_at.shape().dims4()?;
        let (h, w) = self.input;
        let channels = kernel.1 * self.settings.groups;
        let shape = element::Shape::of(&self.settings, (images, h, w, channels), kernel)?;
        check_gradient(&shape, g_at, o == kernel.0)?;
        let out = for_float!(g, T => T::input_gradient(&shape, values(g, g_at)?, values(k, k_at)?));
        Ok((out, Shape::from((images, h, w, channels))))
    }

    // With T(x, k, g) = sum(g * convolution(x, k)), which is linear in each: this is dT/dx, so
    // that its product with x' is T(x', k, g).
    fn bwd(
        &self,
        g: &Tensor,
        k: &Tensor,
        _: &Tensor,
        x: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let x = x.contiguous()?;
        let (_, _, kh, kw) = k.dims4()?;
        let gradient = KernelGradient { settings: self.settings, kernel: (kh, kw) };
        let of_g = x.apply_op2(k, Convolution(self.settings))?;
        Ok((Some(of_g), Some(x.apply_op2(g, gradient)?)))
    }
}

/// `(x, g)` to the gradient for the kernel of `sum(g * convolution(x, kernel))`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelGradient {
    pub(crate) settings: Conv2d,
    pub(crate) kernel: (usize, usize),
}

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "convolution-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        g: &CpuStorage,
        g_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let input = x_at.shape().dims4()?;
        let (images, _, _, o) = g_at.shape().dims4()?;
        let depth = input.3 / self.settings.groups.max(1);
        let kernel = (o, depth, self.kernel.0, self.kernel.1);
        let shape = element::Shape::of(&self.settings, input, kernel)?;
        check_gradient(&shape, g_at, images == input.0)?;
        let out =
            for_float!(x, T => T::kernel_gradient(&shape, values(x, x_at)?, values(g, g_at)?));
        Ok((out, Shape::from(kernel)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        g: &Tensor,
        _: &Tensor,
        k: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let k = k.contiguous()?;
        let (_, h, w, _) = x.dims4()?;
        let of_x = g.apply_op2(&k, InputGradient { settings: self.settings, input: (h, w) })?;
        Ok((Some(of_x), Some(x.apply_op2(&k, Convolution(self.settings))?)))
    }
}

fn check_gradient(shape: &element::Shape, g_at: &Layout, fits: bool) -> Result<()> {
    let expected = shape.output();
    if !fits || g_at.shape().dims4()? != expected {
        bail!("expected a gradient {expected:?}, found {:?}", g_at.shape());
    }
    Ok(())
}
