//! The linear operations of the networks: 3x3 convolution, 2x2 means and 2x2 repeats.
//!
//! Why not candle's own: on CPU its convolution's backward pass runs without matrix products,
//! `UpsampleNearest2D` overwrites a gradient instead of adding to it when its input has a second
//! consumer, and max-pooling mis-scales ties. And a convolution put together from candle's
//! operations keeps its patches, nine times the image, in the graph and adds their gradient to
//! zeros; here they live for one product. Each operation's gradient is made of these operations
//! again, so that second derivatives exist.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

/// A 3x3 convolution, stride 1, zero padding 1.
///
/// `images`: `[b, c, h, w]`; `kernel`: `[o, c, 3, 3]`. Returns `[b, o, h, w]`, where
/// `out[b, o, y, x] = sum over c, i, j of kernel[o, c, i, j] * images[b, c, y + i - 1, x + j - 1]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv3x3(images: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    images.contiguous()?.apply_op2(&kernel.contiguous()?, Convolution)
}

/// A 1x1 convolution: `images` `[b, c, h, w]`, `kernel` `[o, c, 1, 1]`, to `[b, o, h, w]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv1x1(images: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = images.dims4()?;
    let (o, _, 1, 1) = kernel.dims4()? else {
        bail!("expected a kernel [o, c, 1, 1], found {:?}", kernel.shape());
    };
    let matrix = kernel.reshape((o, c))?.broadcast_left(b)?.contiguous()?;
    matrix.matmul(&images.reshape((b, c, h * w))?)?.reshape((b, o, h, w))
}

/// The mean of each 2x2 square: `[b, c, h, w]` to `[b, c, h/2, w/2]`; `h` and `w` are even.
///
/// # Errors
/// When a side is odd.
pub fn mean_pool2(images: &Tensor) -> Result<Tensor> {
    images.contiguous()?.apply_op1(Resample::Sum2)? * 0.25
}

/// Each pixel repeated to a 2x2 square: `[b, c, h, w]` to `[b, c, 2h, 2w]`.
///
/// # Errors
/// When the tensor has no four dimensions.
pub fn repeat2(images: &Tensor) -> Result<Tensor> {
    images.contiguous()?.apply_op1(Resample::Repeat2)
}

/// `(images, kernel)` to their convolution.
#[derive(Clone, Copy, Debug)]
struct Convolution;

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution-3x3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        k: &CpuStorage,
        k_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, c, h, w) = x_at.shape().dims4()?;
        let (o, kernel_c, 3, 3) = k_at.shape().dims4()? else {
            bail!("{}: expected a kernel [o, c, 3, 3], found {:?}", self.name(), k_at.shape());
        };
        if c != kernel_c {
            bail!("{}: expected a kernel for {c} channels, found one for {kernel_c}", self.name());
        }
        let (images, kernel) = (contiguous(x, x_at)?, contiguous(k, k_at)?);
        let kernel = Tensor::from_slice(kernel, (o, c * 9), &Device::Cpu)?;
        let mut out = Vec::with_capacity(b * o * h * w);
        for image in images.chunks_exact(c * h * w) {
            let patches = Tensor::from_vec(patches(image, h, w), (c * 9, h * w), &Device::Cpu)?;
            out.extend(kernel.matmul(&patches)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((CpuStorage::F32(out), Shape::from((b, o, h, w))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        k: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = g.contiguous()?;
        Ok((Some(conv3x3(&g, &turned(k)?)?), Some(x.apply_op2(&g, KernelGradient)?)))
    }
}

/// `(images, gradient of their convolution)` to the gradient of the kernel:
/// `sum over b, y, x of images[b, c, y + i - 1, x + j - 1] * gradient[b, o, y, x]`.
#[derive(Clone, Copy, Debug)]
struct KernelGradient;

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "convolution-3x3-kernel-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        g: &CpuStorage,
        g_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, c, h, w) = x_at.shape().dims4()?;
        let (_, o, _, _) = g_at.shape().dims4()?;
        let (images, gradients) = (contiguous(x, x_at)?, contiguous(g, g_at)?);
        let mut sum = Tensor::zeros((o, c * 9), candle_core::DType::F32, &Device::Cpu)?;
        for (image, gradient) in
            images.chunks_exact(c * h * w).zip(gradients.chunks_exact(o * h * w))
        {
            let patches = Tensor::from_vec(patches(image, h, w), (c * 9, h * w), &Device::Cpu)?;
            let gradient = Tensor::from_slice(gradient, (o, h * w), &Device::Cpu)?;
            sum = (sum + gradient.matmul(&patches.t()?)?)?;
        }
        Ok((CpuStorage::F32(sum.flatten_all()?.to_vec1()?), Shape::from((o, c, 3, 3))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        g: &Tensor,
        _: &Tensor,
        pull: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(conv3x3(g, &turned(pull)?)?), Some(conv3x3(x, pull)?)))
    }
}

/// The kernel of the adjoint: turned by half a circle, its channels exchanged.
fn turned(kernel: &Tensor) -> Result<Tensor> {
    kernel.flip(&[2, 3])?.transpose(0, 1)?.contiguous()
}

/// The resampling operations, each other's adjoint.
#[derive(Clone, Copy, Debug)]
enum Resample {
    /// `[b, c, h, w]` to `[b, c, h/2, w/2]`.
    Sum2,
    /// `[b, c, h, w]` to `[b, c, 2h, 2w]`.
    Repeat2,
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        match self {
            Self::Sum2 => "sum-2x2",
            Self::Repeat2 => "repeat-2x2",
        }
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let input = contiguous(storage, layout)?;
        let (b, c, h, w) = layout.shape().dims4()?;
        match self {
            Self::Sum2 if h % 2 == 1 || w % 2 == 1 => {
                bail!("{}: expected even sides, found {h} x {w}", self.name())
            }
            Self::Sum2 => Ok((CpuStorage::F32(sum2(input, w)), Shape::from((b, c, h / 2, w / 2)))),
            Self::Repeat2 => {
                Ok((CpuStorage::F32(repeat(input, w)), Shape::from((b, c, h * 2, w * 2))))
            }
        }
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let adjoint = match self {
            Self::Sum2 => Self::Repeat2,
            Self::Repeat2 => Self::Sum2,
        };
        grad.contiguous()?.apply_op1(adjoint).map(Some)
    }
}

/// The values of a contiguous `f32` tensor.
pub(super) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        bail!("expected f32 values, found {:?}", storage.dtype());
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("expected a contiguous tensor, found {layout:?}"),
    }
}

/// `[c, h, w]` to `[9c, h*w]`: row `9c + 3i + j` is channel `c` moved by `(i - 1, j - 1)`, with
/// zeros where it comes from outside. Written in order, since zeroing first would cost a pass.
fn patches(image: &[f32], h: usize, w: usize) -> Vec<f32> {
    let mut columns = Vec::with_capacity(image.len() * 9);
    for plane in image.chunks_exact(h * w) {
        for i in 0..3 {
            for j in 0..3 {
                for y in 0..h {
                    let zeros =
                        |columns: &mut Vec<f32>, count| columns.resize(columns.len() + count, 0.0);
                    let row = match (y + i).checked_sub(1) {
                        Some(from) if from < h => &plane[from * w..(from + 1) * w],
                        _ => {
                            zeros(&mut columns, w);
                            continue;
                        }
                    };
                    match j {
                        0 => {
                            zeros(&mut columns, 1);
                            columns.extend_from_slice(&row[..w - 1]);
                        }
                        1 => columns.extend_from_slice(row),
                        _ => {
                            columns.extend_from_slice(&row[1..]);
                            zeros(&mut columns, 1);
                        }
                    }
                }
            }
        }
    }
    columns
}

fn sum2(images: &[f32], w: usize) -> Vec<f32> {
    let mut sums = Vec::with_capacity(images.len() / 4);
    for rows in images.chunks_exact(2 * w) {
        let (upper, lower) = rows.split_at(w);
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        sums.extend(pairs.map(|(u, l)| (u[0] + u[1]) + (l[0] + l[1])));
    }
    sums
}

fn repeat(images: &[f32], w: usize) -> Vec<f32> {
    let mut repeated = Vec::with_capacity(images.len() * 4);
    for row in images.chunks_exact(w) {
        for _ in 0..2 {
            repeated.extend(row.iter().flat_map(|value| [*value, *value]));
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Numbers without pattern, the same each time.
    fn numbers(shape: &[usize], salt: f32) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 1.7 + salt).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn gap(left: &Tensor, right: &Tensor) -> f32 {
        assert_eq!(left.dims(), right.dims());
        let gap = (left - right).unwrap().abs().unwrap();
        gap.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn convolution_equals_candles_own() {
        for (c, o, h, w) in [(1, 4, 6, 8), (3, 5, 2, 4), (8, 2, 16, 16)] {
            let images = numbers(&[2, c, h, w], 0.3);
            let kernel = numbers(&[o, c, 3, 3], 0.9);
            let expected = images.conv2d(&kernel, 1, 1, 1, 1).unwrap();
            assert!(gap(&conv3x3(&images, &kernel).unwrap(), &expected) < 1e-5);
            let kernel = numbers(&[o, c, 1, 1], 0.9);
            let expected = images.conv2d(&kernel, 0, 1, 1, 1).unwrap();
            assert!(gap(&conv1x1(&images, &kernel).unwrap(), &expected) < 1e-5);
        }
    }

    fn dot(left: &Tensor, right: &Tensor) -> f32 {
        (left * right).unwrap().sum_all().unwrap().to_scalar().unwrap()
    }

    /// A linear `A` has the gradient `A* y` for the loss `<A x, y>`, and `<A x, y> = <x, A* y>`.
    /// The loss uses `x` a second time: a gradient that overwrites would show.
    #[test]
    fn gradients_are_the_adjoints() {
        let kernel = numbers(&[4, 3, 3, 3], 0.4);
        let convolve = |x: &Tensor| conv3x3(x, &kernel);
        type Operation<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
        let operations: [(&str, Operation<'_>); 3] =
            [("convolution", &convolve), ("mean", &mean_pool2), ("repeat", &repeat2)];
        for (name, operation) in operations {
            let x = Var::from_tensor(&numbers(&[2, 3, 4, 6], 0.1)).unwrap();
            let out = operation(&x).unwrap();
            let y = numbers(out.dims(), 0.7);
            let loss = ((&out * &y).unwrap().sum_all().unwrap() + x.sum_all().unwrap()).unwrap();
            let adjoint = (loss.backward().unwrap().get(&x).unwrap() - 1.0).unwrap();
            let (left, right) = (dot(&out, &y), dot(&x, &adjoint));
            assert!((left - right).abs() < 1e-3, "{name}: {left} and {right}");
            assert!(left.abs() > 0.01, "{name}: {left} proves nothing");
        }
    }

    #[test]
    fn convolution_gradients_equal_candles_own_and_those_of_the_kernel_gradient_too() {
        let x = Var::from_tensor(&numbers(&[2, 3, 6, 4], 0.1)).unwrap();
        let k = Var::from_tensor(&numbers(&[5, 3, 3, 3], 0.2)).unwrap();
        let y = numbers(&[2, 5, 6, 4], 0.7);
        let gradients = |out: Tensor| (out * &y).unwrap().sum_all().unwrap().backward().unwrap();
        let ours = gradients(conv3x3(&x, &k).unwrap());
        let theirs = gradients(x.conv2d(&k, 1, 1, 1, 1).unwrap());
        for variable in [&x, &k] {
            assert!(gap(ours.get(variable).unwrap(), theirs.get(variable).unwrap()) < 1e-4);
        }
        // The kernel's gradient is linear in both arguments: check its adjoints the same way.
        let g = Var::from_tensor(&y).unwrap();
        let pull = numbers(&[5, 3, 3, 3], 0.3);
        let out = x.apply_op2(&g, KernelGradient).unwrap();
        let back = (&out * &pull).unwrap().sum_all().unwrap().backward().unwrap();
        let value = dot(&out, &pull);
        assert!((dot(&x, back.get(&x).unwrap()) - value).abs() < 1e-3 * value.abs().max(1.0));
        assert!((dot(&g, back.get(&g).unwrap()) - value).abs() < 1e-3 * value.abs().max(1.0));
    }

    #[test]
    fn pooling_and_repeating_are_what_they_say() {
        let x = Tensor::new(&[[[[1_f32, 2.0], [3.0, 6.0]]]], &Device::Cpu).unwrap();
        assert_eq!(mean_pool2(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0]);
        let repeated = repeat2(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let rows = [
            [1.0, 1.0, 2.0, 2.0],
            [1.0, 1.0, 2.0, 2.0],
            [3.0, 3.0, 6.0, 6.0],
            [3.0, 3.0, 6.0, 6.0],
        ];
        assert_eq!(repeated, rows.concat());
    }

    #[test]
    fn odd_sides_and_other_kernels_are_refused() {
        assert!(mean_pool2(&numbers(&[1, 1, 3, 4], 0.0)).is_err());
        assert!(conv3x3(&numbers(&[1, 1, 4, 4], 0.0), &numbers(&[1, 1, 5, 5], 0.0)).is_err());
        assert!(conv1x1(&numbers(&[1, 1, 4, 4], 0.0), &numbers(&[1, 1, 3, 3], 0.0)).is_err());
    }
}
