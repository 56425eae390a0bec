//! Why no epsilon, or no noise, can be given.

/// Why no epsilon, or no noise, can be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number outside its range.
    #[error("{what}: expected {expected}, got {got}")]
    Input {
        /// Which number.
        what: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// What came.
        got: f64,
    },
    /// A delta with which publishing a whole record of somebody would count as private.
    #[error(
        "delta: expected a number below 1/{records} = {:.3e} (one over the number of records), got {delta:e}; \
         with more, publishing one record outright would be allowed",
        1.0 / *.records as f64
    )]
    DeltaForRecords {
        /// What came.
        delta: f64,
        /// Records that the guarantee is for.
        records: u64,
    },
}

/// `got` if it is what is expected of it.
pub(crate) fn expect(
    what: &'static str,
    got: f64,
    expected: &'static str,
    holds: bool,
) -> Result<f64, Error> {
    if holds { Ok(got) } else { Err(Error::Input { what, expected, got }) }
}

/// Checks a delta.
pub(crate) fn check_delta(delta: f64) -> Result<f64, Error> {
    expect("delta", delta, "a number above 0 and below 1", delta > 0.0 && delta < 1.0)
}
