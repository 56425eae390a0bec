//! Gradients of a layer's parameters for each of several units of images, from one way back through
//! the whole batch.
//!
//! A recorded layer does not sum its parameters' gradients over the batch. It leaves what they are
//! made from: its input and the gradient of its output. From these the length of each unit's
//! gradient follows, often without the gradient itself (Li et al., "Large Language Models Can Be
//! Strong Differentially Private Learners", 2022), and then the sum of the units' gradients, each
//! times a factor, without a second way back (Bu et al., "Differentially Private Optimization on
//! Large Model at Small Cost", 2023).

mod products;
mod rows;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Result, Tensor, Var, bail};

use products::Kernels;
pub(crate) use products::{Products, tapped};
pub(crate) use rows::ImageRows;

/// What one layer leaves on its way back. A record serves one pass of one layer.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<OnceLock<Left>>);

/// A layer's products, its normalisation's rows, or both.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) products: Option<Products>,
    pub(crate) rows: Option<ImageRows>,
}

/// The gradient of a layer's parameters; `None` for those that it does not have.
#[derive(Clone, Debug, Default)]
pub struct LayerGradient {
    /// Of the kernel, in its shape.
    pub kernel: Option<Tensor>,
    /// Of the bias, `[o]`.
    pub bias: Option<Tensor>,
    /// Of the normalisation's scale, `[c]`.
    pub scale: Option<Tensor>,
    /// Of what the normalisation adds, `[c]`.
    pub shift: Option<Tensor>,
}

/// A layer's gradients of some units, before they are added.
#[derive(Debug)]
pub struct UnitGradients<'a> {
    left: &'a Left,
    units: &'a [Range<usize>],
    kernels: Option<Kernels>,
    biases: Option<Vec<Vec<f32>>>,
    scales: Option<Vec<Vec<f32>>>,
    shifts: Option<Vec<Vec<f32>>>,
    squares: Vec<f64>,
}

impl Record {
    pub(crate) fn leave(&self, left: Left) -> Result<()> {
        match self.0.set(left) {
            Ok(()) => Ok(()),
            Err(_) => bail!("expected one way back through a recorded layer, found a second"),
        }
    }

    /// The layer's gradients of units of images: unit `i` are the images `units[i]` of the batch. A
    /// unit's gradient is the sum of those of its images. `None` where no way back has come through
    /// the layer.
    ///
    /// # Errors
    /// When the units are not all of the batch's images in their order.
    pub fn units<'a>(&'a self, units: &'a [Range<usize>]) -> Result<Option<UnitGradients<'a>>> {
        let Some(left) = self.0.get() else { return Ok(None) };
        let images = match left {
            Left { products: Some(products), .. } => products.images(),
            Left { rows: Some(rows), .. } => rows.images(),
            Left { products: None, rows: None } => 0,
        };
        let mut next = 0;
        for unit in units {
            if unit.start != next || unit.end < unit.start {
                bail!("expected units of adjacent images, found {unit:?} after {next}");
            }
            next = unit.end;
        }
        if next != images {
            bail!("expected units of {images} images, found {next}");
        }
        let Left { products, rows } = left;
        let kernels = products.as_ref().map(|products| products.kernels(units)).transpose()?;
        let biases = products.as_ref().and_then(|products| products.biases(units).transpose());
        let biases = biases.transpose()?;
        let scales = rows.as_ref().map(|rows| rows.scales(units));
        let shifts = rows.as_ref().map(|rows| rows.shifts(units));
        let mut squares = match &kernels {
            Some(kernels) => kernels.squares(),
            None => vec![0.0; units.len()],
        };
        for each in [&biases, &scales, &shifts].into_iter().flatten() {
            squares.iter_mut().zip(each).for_each(|(sum, values)| *sum += square(values));
        }
        Ok(Some(UnitGradients { left, units, kernels, biases, scales, shifts, squares }))
    }
}

impl UnitGradients<'_> {
    /// The square of the length of each unit's gradient, over all of the layer's parameters; rounded
    /// up where the gradient itself is not made, so that whoever clips by it clips enough.
    #[must_use]
    pub fn squares(&self) -> &[f64] {
        &self.squares
    }

    /// The sum of the units' gradients, each times its factor. A unit with factor 0 adds nothing,
    /// even where its gradient is not finite.
    ///
    /// # Errors
    /// When there is not one factor for each unit.
    pub fn sum(&self, factors: &[f32]) -> Result<LayerGradient> {
        if factors.len() != self.units.len() {
            bail!("expected {} factors, found {}", self.units.len(), factors.len());
        }
        let device = &Device::Cpu;
        let row = |each: &Option<Vec<Vec<f32>>>| {
            let sum = each.as_ref().map(|each| weighted(each, factors));
            sum.map(|sum| Tensor::new(sum, device)).transpose()
        };
        let kernel = match (&self.left.products, &self.kernels) {
            (Some(products), Some(Kernels::Each(each))) => {
                Some(products.shaped(weighted(each, factors))?)
            }
            (Some(products), Some(Kernels::Ghost(_))) => {
                Some(products.weighted(self.units, factors)?)
            }
            _ => None,
        };
        let (bias, scale) = (row(&self.biases)?, row(&self.scales)?);
        Ok(LayerGradient { kernel, bias, scale, shift: row(&self.shifts)? })
    }
}

/// A copy of a small tensor that the way back goes to, even where nothing before it asks for a
/// gradient, and that asks for none itself.
pub(crate) fn anchored(of: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(&of.detach())?.as_tensor().clone())
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

/// The sum of some gradients, each times its factor.
fn weighted(each: &[Vec<f32>], factors: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; each.first().map_or(0, Vec::len)];
    for (values, factor) in each.iter().zip(factors).filter(|(_, factor)| **factor != 0.0) {
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
    }
    sum
}
