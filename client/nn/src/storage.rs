//! candle's storage as slices, and whether gradients are to be differentiated again.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};

/// Runs `$body` with `$type` the type of the values, `f32` or `f64`, and stores what it returns.
macro_rules! for_float {
    ($storage:expr, $type:ident => $body:expr) => {
        match candle_core::backend::BackendStorage::dtype($storage) {
            candle_core::DType::F32 => {
                type $type = f32;
                <f32 as $crate::vector::Float>::store($body)
            }
            candle_core::DType::F64 => {
                type $type = f64;
                <f64 as $crate::vector::Float>::store($body)
            }
            found => candle_core::bail!("expected f32 or f64 values, found {found:?}"),
        }
    };
}
pub(crate) use for_float;

/// The values of a contiguous tensor.
pub(crate) fn values<'a, T: WithDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    let values = storage.as_slice::<T>()?;
    match layout.contiguous_offsets().and_then(|(start, end)| values.get(start..end)) {
        Some(values) => Ok(values),
        None => bail!("expected a contiguous tensor, found {layout:?}"),
    }
}

/// Calls `f` with the values of contiguous tensors on the CPU.
pub(crate) fn tensor_values<T: WithDType, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[T]; N]) -> R,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("expected a tensor on the CPU");
        };
        *slice = values(storage, layout)?;
    }
    Ok(f(slices))
}

thread_local! {
    static KEEPS_GRAPH: bool =
        std::env::var("CANDLE_GRAD_DO_NOT_DETACH").is_ok_and(|value| !value.is_empty() && value != "0");
}

/// Whether candle records how gradients come about, so that they can be differentiated again: its
/// own switch, which it too reads once a thread.
pub(crate) fn keeps_graph() -> bool {
    KEEPS_GRAPH.with(|keeps| *keeps)
}

/// An input as a gradient is to see it: without its history unless that is asked for. A gradient
/// with a history would keep the images of all layers in memory.
pub(crate) fn recorded(tensor: &Tensor) -> Tensor {
    if keeps_graph() { tensor.clone() } else { tensor.detach() }
}
