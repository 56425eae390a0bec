//! Secure-aggregation schemes side by side: the same updates, checked results.
//!
//! # Method
//! Every scheme gets the same update of every site ([`workload`]), runs a whole aggregation of all
//! sites, and its opened sums are compared with the plain integer sums exactly (float schemes: the
//! mean is); a row with a wrong sum is an error, never a figure. Then each step is timed on its
//! own: one untimed run, then the median of the stated repetitions, on one thread.
//!
//! Each peer runs at its recommended settings; what they are and where they come from stands in
//! its module and in the row's `settings` and `source`. Rows marked `extrapolated` measure a few
//! values and scale linearly. Rows marked `quoted` are not measured.

use anyhow::{bail, ensure};

use report::Row;
use workload::Workload;

pub mod chart;
mod concrete_glwe;
mod cyclic;
mod fheuint;
mod glwe;
mod masking;
mod measured;
mod paillier;
mod python;
mod quoted;
pub mod report;
pub(crate) mod ringfence;
mod slots;
pub mod workload;

/// A scheme of the comparison.
struct Scheme {
    name: &'static str,
    /// A checked row, or none where what it needs is not installed.
    run: fn(&Workload) -> anyhow::Result<Option<Row>>,
}

const SCHEMES: [Scheme; 11] = [
    Scheme { name: "ringfence", run: ringfence::run },
    Scheme { name: "pairwise-masking", run: masking::run },
    Scheme { name: "tfhe-glwe", run: glwe::run },
    Scheme { name: "concrete-core-glwe", run: concrete_glwe::run },
    Scheme { name: "cyclic-pppml-hmi", run: cyclic::run },
    Scheme { name: "openfhe-bfv", run: python::openfhe },
    Scheme { name: "tenseal-ckks", run: python::tenseal },
    Scheme { name: "paillier", run: paillier::run },
    Scheme { name: "tfhe-fheuint", run: fheuint::run },
    Scheme { name: "acorn", run: quoted::acorn },
    Scheme { name: "willow", run: quoted::willow },
];

/// Runs the named schemes (all, where none is named) on one thread, but for Ringfence's own; `each`
/// is shown the rows so far after every scheme.
///
/// # Errors
/// When a name is unknown, or any scheme fails or opens a wrong sum.
pub fn run(
    workload: &Workload,
    names: &[String],
    mut each: impl FnMut(&[Row]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Row>> {
    for name in names {
        if !SCHEMES.iter().any(|scheme| scheme.name == name) {
            let known = SCHEMES.map(|scheme| scheme.name).join(", ");
            bail!("unknown scheme {name:?}; expected some of: {known}");
        }
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|other| other == name);
    // What libraries hand to rayon stays on this one thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut rows = Vec::new();
    for scheme in SCHEMES.iter().filter(|scheme| wanted(scheme.name)) {
        eprintln!("{} ...", scheme.name);
        let row = pool.install(|| (scheme.run)(workload));
        rows.extend(row.map_err(|error| error.context(scheme.name))?);
        each(&rows)?;
    }
    ensure!(!rows.is_empty(), "no row could be measured: see the notes above");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_rust_scheme_opens_the_right_sum() {
        let rust = [
            "ringfence",
            "pairwise-masking",
            "tfhe-glwe",
            "concrete-core-glwe",
            "cyclic-pppml-hmi",
            "paillier",
            "tfhe-fheuint",
        ];
        // Each scheme refuses a sum that is not the plain one, so a row is a checked row.
        let workload = Workload::new(3000, 3, 16, 1).unwrap();
        let rows = run(&workload, &names(&rust), |_| Ok(())).unwrap();
        assert_eq!(rows.len(), rust.len());
        for row in &rows {
            let step = 1.0 / 65_535.0;
            let error = row.max_error.unwrap();
            assert!(error > 0.0 && error <= step, "{}: {error:e}", row.scheme);
            assert!(row.encrypt_seconds.unwrap() > 0.0 && row.open_seconds.unwrap() > 0.0);
            let (body, all) = (row.body_bytes_per_parameter, row.bytes_per_parameter);
            assert!(body.unwrap() > 2.0 && all >= body, "{}: {body:?} {all:?}", row.scheme);
            assert_eq!((row.parameters, row.sites, row.bits, row.threads), (3000, 3, 16, 1));
            let extrapolated = ["paillier", "tfhe-fheuint"].contains(&row.scheme.as_str());
            assert_eq!(row.extrapolated, extrapolated, "{}", row.scheme);
        }
        let json: Vec<Row> = serde_json::from_str(&report::json(&rows).unwrap()).unwrap();
        assert_eq!(json.len(), rows.len());
    }

    #[test]
    fn an_unknown_scheme_is_refused_and_the_known_ones_named() {
        let workload = Workload::new(10, 3, 16, 1).unwrap();
        let error = run(&workload, &names(&["rot13"]), |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("rot13") && error.contains("tfhe-glwe"), "{error}");
    }

    #[test]
    fn quoted_rows_show_no_figure_without_a_source() {
        let workload = Workload::new(10, 3, 16, 1).unwrap();
        for row in run(&workload, &names(&["acorn", "willow"]), |_| Ok(())).unwrap() {
            assert!(row.quoted && !row.source.is_empty());
            assert!(row.encrypt_seconds.is_none() && row.bytes_per_parameter.is_none());
        }
    }
}
