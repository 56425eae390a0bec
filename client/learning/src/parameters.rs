//! Weights as the tensor library holds them, to be read by a model and moved by an optimiser.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var, bail};
use candle_nn::VarMap;

use crate::compute::device;
use crate::error::LearnError;
use crate::model::tape::Tape;
use ringfence_weights::Weights;

/// A model's parameters by name, on this process's device, in the order of their names.
///
/// candle's own [`VarMap`] keeps them in a hash map whose order differs from run to run, so that
/// it serves here only for exchange: see [`Parameters::from_var_map`].
#[derive(Clone, Debug)]
pub struct Parameters {
    tensors: BTreeMap<String, Tensor>,
    variables: BTreeMap<String, Var>,
    tape: Option<Tape>,
    bend: f64,
}

impl Parameters {
    /// Parameters that gradients are taken for.
    ///
    /// # Errors
    /// When the tensor library refuses a shape.
    pub fn trainable(weights: &Weights) -> std::result::Result<Self, LearnError> {
        let mut variables = BTreeMap::new();
        for (name, shape, values) in weights.iter() {
            variables.insert(name.to_string(), Var::from_slice(values, shape, device())?);
        }
        Ok(Self::of(variables))
    }

    /// Parameters for prediction only, for which nothing is recorded.
    ///
    /// # Errors
    /// When the tensor library refuses a shape.
    pub fn fixed(weights: &Weights) -> std::result::Result<Self, LearnError> {
        let mut tensors = BTreeMap::new();
        for (name, shape, values) in weights.iter() {
            tensors.insert(name.to_string(), Tensor::from_slice(values, shape, device())?);
        }
        Ok(Self { tensors, variables: BTreeMap::new(), tape: None, bend: 0.0 })
    }

    /// The variables of a [`VarMap`], which are shared and not copied.
    ///
    /// # Errors
    /// [`LearnError::Model`] when another thread failed while it held the map.
    pub fn from_var_map(map: &VarMap) -> std::result::Result<Self, LearnError> {
        let held = map.data().lock().map_err(|error| LearnError::Model(error.to_string()))?;
        Ok(Self::of(held.iter().map(|(name, var)| (name.clone(), var.clone())).collect()))
    }

    /// A [`VarMap`] with these variables, which are shared and not copied.
    ///
    /// # Errors
    /// [`LearnError::Model`] when another thread failed while it held the map.
    pub fn to_var_map(&self) -> std::result::Result<VarMap, LearnError> {
        let map = VarMap::new();
        map.data()
            .lock()
            .map_err(|error| LearnError::Model(error.to_string()))?
            .extend(self.variables.iter().map(|(name, var)| (name.clone(), var.clone())));
        Ok(map)
    }

    /// The present values.
    ///
    /// # Errors
    /// When a tensor is not of 32-bit floats.
    pub fn to_weights(&self) -> std::result::Result<Weights, LearnError> {
        let mut shapes = Vec::new();
        let mut values = Vec::new();
        for (name, tensor) in &self.tensors {
            shapes.push((name.clone(), tensor.dims().to_vec()));
            values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Weights::from_values(&shapes, values)?)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// When there is none: the weights are of another model.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => {
                bail!("the model expected a tensor `{name}`, the weights have none of that name")
            }
        }
    }

    /// Trainable parameters at `w + factor * direction`, `direction` in the order of the names.
    ///
    /// # Errors
    /// When a direction's shape is not its tensor's.
    pub(crate) fn shifted(&self, direction: &[Tensor], factor: f64) -> Result<Self> {
        let mut variables = BTreeMap::new();
        for ((name, tensor), direction) in self.tensors.iter().zip(direction) {
            let moved = (tensor + (direction * factor)?)?;
            variables.insert(name.clone(), Var::from_tensor(&moved.detach())?);
        }
        Ok(Self::of(variables))
    }

    /// The same parameters, whose layers leave what their gradients are made from on the tape.
    pub(crate) fn recorded_on(&self, tape: &Tape) -> Self {
        Self { tape: Some(tape.clone()), ..self.clone() }
    }

    /// Where layers are to leave what their gradients are made from, if anywhere.
    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The same parameters, with which a model's ReLUs bend smoothly over this width instead of at 0.
    /// Nobody trains so: see [`crate::Probe`].
    pub(crate) fn bent(self, width: f64) -> Self {
        Self { bend: width, ..self }
    }

    /// The width over which ReLUs bend; 0 for those of the model as it is trained.
    pub(crate) fn bend(&self) -> f64 {
        self.bend
    }

    /// The names of the tensors, ascending.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensors in the order of their names.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        self.tensors.values().cloned().collect()
    }

    /// The variables in the order of their names; none if the parameters are fixed.
    #[must_use]
    pub fn variables(&self) -> Vec<Var> {
        self.variables.values().cloned().collect()
    }

    fn of(variables: BTreeMap<String, Var>) -> Self {
        let tensors =
            variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        Self { tensors, variables, tape: None, bend: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_pass_through_parameters_and_a_var_map_unchanged() {
        let shapes: Vec<_> = (0..20).map(|i| (format!("t{i:02}"), vec![i % 3 + 1, 2])).collect();
        let count = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let values = (0..count).map(|i| i as f32 / 7.0).collect();
        let weights = Weights::from_values(&shapes, values).unwrap();
        let map = Parameters::trainable(&weights).unwrap().to_var_map().unwrap();
        assert_eq!(map.all_vars().len(), 20);
        let back = Parameters::from_var_map(&map).unwrap();
        assert_eq!(back.to_weights().unwrap(), weights);
        assert_eq!(Parameters::fixed(&weights).unwrap().to_weights().unwrap(), weights);
        assert_eq!(back.variables().len(), 20);
        assert!(back.get("t99").unwrap_err().to_string().contains("`t99`"));
    }
}
