//! What a convolution or a dense layer leaves: its input `A` and the gradient `B` of its output. The
//! gradient of its kernel is the product of both over the pixels.

use std::ops::Range;
use std::slice::from_ref;

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, Var, bail};
use rayon::prelude::*;

use super::{Left, Record, square};
use crate::conv::element;
use crate::resample::channel_sums;
use crate::storage::{recorded, tensor_values, values};

/// Input and output gradient of a convolution; a dense layer is one of images of one pixel.
#[derive(Debug)]
pub(crate) struct Products {
    pub(crate) shape: element::Shape,
    /// The kernel's own shape.
    pub(crate) kernel: Vec<usize>,
    pub(crate) bias: bool,
    /// `f32`, contiguous, an image after the other.
    pub(crate) x: Tensor,
    /// The same of the gradient.
    pub(crate) g: Tensor,
}

/// A unit's gradient is at least the length of its parts over this, or is taken to be.
const PARTS: f64 = 4000.0;

/// Gradients of a kernel, one for each unit.
#[derive(Debug)]
pub(super) enum Kernels {
    /// Themselves: what is added is what was measured.
    Each(Vec<Vec<f32>>),
    /// The squares of their lengths only, and of these bounds from above.
    Ghost(Vec<f64>),
}

impl Kernels {
    pub(super) fn squares(&self) -> Vec<f64> {
        match self {
            Self::Each(each) => each.par_iter().map(|values| square(values)).collect(),
            Self::Ghost(squares) => squares.clone(),
        }
    }
}

impl Products {
    pub(super) fn images(&self) -> usize {
        self.shape.images()
    }

    /// The gradient of the kernel for each unit: made where that is cheaper than its length alone
    /// (Bu et al.: where `2 T^2 > p d` for `T` pixels and `p d` values of the kernel).
    pub(super) fn kernels(&self, units: &[Range<usize>]) -> Result<Kernels> {
        let pixels = self.shape.pixels();
        let longest = units.iter().map(|unit| unit.len() * pixels).max().unwrap_or(0);
        let values: usize = self.kernel.iter().product();
        let cheaper = longest.saturating_mul(longest).saturating_mul(2) > values;
        if cheaper || self.shape.grouped() {
            return tensor_values::<f32, _, 2>([&self.x, &self.g], |[x, g]| {
                Kernels::Each(self.shape.unit_kernel_gradients(x, g, units))
            });
        }
        let table = self.shape.inputs_of_outputs();
        let square = |unit: &Range<usize>| self.ghost_square(&table, unit);
        Ok(Kernels::Ghost(units.par_iter().map(square).collect::<Result<_>>()?))
    }

    /// The square of the length of a unit's gradient, `sum over p, q of (A A^T)[p, q] (B B^T)[p, q]`
    /// over the pixels of its outputs, rounded up. A row of `A` is what the kernel meets at a pixel:
    /// `A A^T` is a sum over the taps of products of input pixels, which are taken once.
    ///
    /// Where the parts of a unit nearly cancel, the sum is far smaller than its terms, and what
    /// rounding makes of it may be nothing: a gradient believed so short would not be clipped. With
    /// `S`, the sum of the lengths of the parts `|A_p| |B_p|`, the length is therefore taken as
    /// `sqrt(sum + (e + h^2) S^2) + r S`, where `e` is the error of the sum, whose terms are worked
    /// out in double precision, and `r` that of the gradient itself, which [`Self::weighted`] adds up
    /// in single precision (both by Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
    /// section 3.1: `n` roundings are off by at most about `n` units of it). [`PARTS`] is `1/h`: so
    /// many clips, at most, are the parts of a unit that is clipped, and other units that are added
    /// to these lose so little by rounding.
    fn ghost_square(&self, table: &[u32], unit: &Range<usize>) -> Result<f64> {
        if unit.is_empty() {
            return Ok(0.0);
        }
        let (inputs, outputs, taps) =
            (self.shape.input_pixels(), self.shape.pixels(), self.shape.taps());
        let of_x = gram(&self.x, unit, inputs)?;
        let of_g = gram(&self.g, unit, outputs)?;
        let (side_x, side_g) = (unit.len() * inputs, unit.len() * outputs);
        // Where each tap of each output pixel of the unit lies among its input pixels.
        let mut places = Vec::with_capacity(side_g * taps);
        for image in 0..unit.len() {
            let place = |input: &u32| match *input {
                element::NONE => usize::MAX,
                input => image * inputs + input as usize,
            };
            places.extend(table.iter().map(place));
        }
        let (mut sum, mut lengths) = (0.0, 0.0);
        let rows = places.chunks_exact(taps).zip(of_g.chunks_exact(side_g)).enumerate();
        for (p, (at_p, of_g)) in rows {
            // The matrices are symmetric: what is off the diagonal counts twice.
            for (q, (at_q, of_g)) in places.chunks_exact(taps).zip(of_g).take(p + 1).enumerate() {
                let met = at_p.iter().zip(at_q).filter(|(p, q)| **p < side_x && **q < side_x);
                let products = met.filter_map(|(p, q)| of_x.get(p * side_x + q));
                let product = products.sum::<f64>() * of_g;
                if p == q {
                    sum += product;
                    lengths += product.sqrt();
                } else {
                    sum += 2.0 * product;
                }
            }
        }
        // Of products and sums in double precision there are fewer than twice the kernel's values,
        // since its length is taken so only for few pixels.
        let values: usize = self.kernel.iter().product();
        let of_sum = 4.0 * values as f64 * f64::EPSILON;
        let of_gradient = (side_g + 2) as f64 * f64::from(f32::EPSILON);
        // What is not finite stays so.
        let sum = if sum < 0.0 { 0.0 } else { sum };
        let least = of_sum + PARTS.powi(-2);
        Ok(((sum + least * lengths * lengths).sqrt() + of_gradient * lengths).powi(2))
    }

    /// The gradient of the bias for each unit, if there is a bias.
    pub(super) fn biases(&self, units: &[Range<usize>]) -> Result<Option<Vec<Vec<f32>>>> {
        if !self.bias {
            return Ok(None);
        }
        let channels = self.kernel.first().copied().unwrap_or(0);
        let image = self.shape.pixels() * channels;
        let sums = tensor_values::<f32, _, 1>([&self.g], |[g]| {
            let of = |unit: &Range<usize>| {
                let values = g.get(unit.start * image..unit.end * image).unwrap_or_default();
                channel_sums(values, channels)
            };
            units.iter().map(of).collect()
        })?;
        Ok(Some(sums))
    }

    /// The sum of the units' gradients of the kernel, each times its factor: the factors go into the
    /// outputs' gradients, which is a batch's ordinary product then.
    pub(super) fn weighted(&self, units: &[Range<usize>], factors: &[f32]) -> Result<Tensor> {
        let image = self.shape.pixels() * self.kernel.first().copied().unwrap_or(0);
        let sum = tensor_values::<f32, _, 2>([&self.x, &self.g], |[x, g]| {
            let mut scaled = Vec::with_capacity(g.len());
            for (unit, factor) in units.iter().zip(factors) {
                let values = g.get(unit.start * image..unit.end * image).unwrap_or_default();
                match *factor {
                    0.0 => scaled.resize(scaled.len() + values.len(), 0.0),
                    factor => scaled.extend(values.iter().map(|value| factor * value)),
                }
            }
            // One that adds nothing may have met values that are not finite.
            let mut met = std::borrow::Cow::Borrowed(x);
            for (unit, _) in units.iter().zip(factors).filter(|(_, factor)| **factor == 0.0) {
                let image = x.len() / self.images().max(1);
                let values = met.to_mut().get_mut(unit.start * image..unit.end * image);
                values.into_iter().flatten().for_each(|value| *value = 0.0);
            }
            let all = 0..self.images();
            // Directly: the bound on a unit's length counts the roundings of such sums.
            let sums = self.shape.direct_kernel_gradients(&met, &scaled, from_ref(&all));
            sums.into_iter().next().unwrap_or_default()
        })?;
        self.shaped(sum)
    }

    pub(super) fn shaped(&self, values: Vec<f32>) -> Result<Tensor> {
        Tensor::from_vec(values, self.kernel.as_slice(), &Device::Cpu)
    }
}

/// The products of all pairs of pixels of a unit's images: `[n pixels, n pixels]`, of `f64`.
fn gram(of: &Tensor, unit: &Range<usize>, pixels: usize) -> Result<Vec<f64>> {
    let rows = of.narrow(0, unit.start, unit.len())?.reshape((unit.len() * pixels, ()))?;
    let rows = rows.to_dtype(DType::F64)?;
    rows.matmul(&rows.t()?)?.flatten_all()?.to_vec1()
}

/// A layer's output as it is, whose gradient will be left in the record, beside the input that it
/// was made from.
pub(crate) fn tapped(
    out: &Tensor,
    (x, kernel): (&Tensor, &Tensor),
    (shape, bias): (element::Shape, bool),
    record: &Record,
) -> Result<Tensor> {
    if x.dtype() != DType::F32 {
        bail!("expected f32 values in a recorded layer, found {:?}", x.dtype());
    }
    let x = recorded(x).detach().contiguous()?;
    let (kernel, record) = (kernel.dims().to_vec(), record.clone());
    // A variable, so that the way back comes here even where nothing before asks for a gradient.
    let anchor = Var::zeros(1, DType::F32, out.device())?;
    out.contiguous()?.apply_op2(&anchor, Tap { shape, kernel, bias, x, record })
}

#[derive(Debug)]
struct Tap {
    shape: element::Shape,
    kernel: Vec<usize>,
    bias: bool,
    x: Tensor,
    record: Record,
}

impl CustomOp2 for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn cpu_fwd(
        &self,
        out: &CpuStorage,
        out_at: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(values(out, out_at)?.to_vec()), out_at.shape().clone()))
    }

    fn bwd(
        &self,
        out: &Tensor,
        _: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Self { shape, kernel, bias, x, record } = self;
        let left = g.detach().contiguous()?;
        let products =
            Products { shape: *shape, kernel: kernel.clone(), bias: *bias, x: x.clone(), g: left };
        record.leave(Left { products: Some(products), rows: None })?;
        Ok((out.track_op().then(|| g.clone()), None))
    }
}
