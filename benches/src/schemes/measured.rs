//! What every measured scheme makes its row of.

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use rand::rngs::SysRng;

use super::report::Row;
use super::workload::Workload;

/// What was measured over a workload's values, in whole.
pub(super) struct Costs {
    pub(super) encrypt_seconds: f64,
    pub(super) share_seconds: f64,
    pub(super) body_bytes: f64,
    pub(super) upload_bytes: f64,
    pub(super) add_seconds: f64,
    pub(super) open_seconds: f64,
    pub(super) max_error: f64,
}

/// A row; times that grow with the model are scaled to the parameters that were asked for.
pub(super) fn row(scheme: &str, workload: &Workload, costs: Costs, settings: String) -> Row {
    let measured = workload.parameters() as f64;
    let scale = workload.asked as f64 / measured;
    Row {
        scheme: scheme.into(),
        parameters: workload.asked,
        sites: workload.sites(),
        bits: workload.bits,
        threads: 1,
        encrypt_seconds: Some(costs.encrypt_seconds * scale),
        share_seconds: Some(costs.share_seconds),
        body_bytes_per_parameter: Some(costs.body_bytes / measured),
        bytes_per_parameter: Some(costs.upload_bytes / measured),
        add_seconds: Some(costs.add_seconds * scale),
        open_seconds: Some(costs.open_seconds * scale),
        max_error: Some(costs.max_error),
        settings: format!("{settings} Median of {} repetitions.", workload.repetitions),
        extrapolated: false,
        quoted: false,
        source: String::new(),
    }
}

/// A generator seeded by the operating system.
pub(super) fn system_rng() -> anyhow::Result<ChaCha20Rng> {
    Ok(ChaCha20Rng::try_from_rng(&mut SysRng)?)
}
