//! Schemes that are not run here. A figure would be quoted only where the paper states it for this
//! very comparison (parameters, sites, bits, machine); where it does not, the row is empty and
//! says where to look.

use super::report::Row;
use super::workload::Workload;

fn row(scheme: &str, workload: &Workload, settings: &str, source: &str) -> Row {
    Row {
        scheme: scheme.into(),
        parameters: workload.asked,
        sites: workload.sites(),
        bits: workload.bits,
        threads: 1,
        settings: settings.into(),
        quoted: true,
        source: source.into(),
        ..Row::default()
    }
}

/// ACORN.
pub(super) fn acorn(workload: &Workload) -> anyhow::Result<Option<Row>> {
    Ok(Some(row(
        "acorn",
        workload,
        "key-additive RLWE with input validation; not run here, and the paper's settings are not \
         these: no figures. Its abstract states under 80 s of client computation for 250,000 \
         16-bit values (or 10^6 binary ones) with proofs, 0.1 times the base protocol's \
         communication for them, and without them client computation 2 to 8 times as fast as Bell \
         et al., CCS 2020.",
        "Bell, Gascon, Lepoint, Li, Meiklejohn, Raykova, Yun: ACORN: Input Validation for Secure \
         Aggregation, USENIX Security 2023, abstract",
    )))
}

/// Willow.
pub(super) fn willow(workload: &Workload) -> anyhow::Result<Option<Row>> {
    Ok(Some(row(
        "willow",
        workload,
        "key-additive RLWE, the key under a committee's threshold encryption, one-shot clients; \
         not run here: no figures that compare.",
        "Willow: Secure Aggregation with One-Shot Clients, CRYPTO 2025 (IACR ePrint 2024/936)",
    )))
}
