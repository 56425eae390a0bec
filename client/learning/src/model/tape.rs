//! What a model's layers leave of a batch for the gradients of its units.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor, bail};
use ringfence_nn::{LayerGradient, Record, UnitGradients};

/// The records of a model's layers, in the order in which they are passed. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape(Arc<Mutex<Vec<Layer>>>);

/// The names of a layer's tensors, of those that it has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) kernel: Option<&'a str>,
    pub(crate) bias: Option<&'a str>,
    pub(crate) scale: Option<&'a str>,
    pub(crate) shift: Option<&'a str>,
}

/// A layer's record, and the names of its tensors in the order of [`Names`].
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    names: [Option<String>; 4],
    record: Record,
}

impl Tape {
    /// A record for the layer with these tensors.
    pub(crate) fn layer(&self, names: Names<'_>) -> Result<Record> {
        let record = Record::default();
        let Names { kernel, bias, scale, shift } = names;
        let names = [kernel, bias, scale, shift].map(|name| name.map(str::to_owned));
        match self.0.lock() {
            Ok(mut layers) => layers.push(Layer { names, record: record.clone() }),
            Err(_) => bail!("expected the layers' records, found that another thread failed"),
        }
        Ok(record)
    }

    /// The layers that were passed.
    pub(crate) fn layers(&self) -> Result<Vec<Layer>> {
        match self.0.lock() {
            Ok(layers) => Ok(layers.clone()),
            Err(_) => bail!("expected the layers' records, found that another thread failed"),
        }
    }
}

impl Layer {
    /// The names of the layer's tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// The gradients of units of images, where a way back has come through the layer.
    pub(crate) fn units<'a>(
        &'a self,
        units: &'a [Range<usize>],
    ) -> Result<Option<UnitGradients<'a>>> {
        self.record.units(units)
    }

    /// Puts the layer's gradient to those of the model, by name.
    pub(crate) fn add_to(&self, all: &mut BTreeMap<String, Tensor>, gradient: LayerGradient) {
        let LayerGradient { kernel, bias, scale, shift } = gradient;
        for (name, tensor) in self.names.iter().zip([kernel, bias, scale, shift]) {
            if let (Some(name), Some(tensor)) = (name, tensor) {
                all.insert(name.clone(), tensor);
            }
        }
    }
}
