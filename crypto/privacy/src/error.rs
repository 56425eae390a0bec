//! Why no epsilon, or no noise, can be given.

/// Why no epsilon, or no noise, can be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A number outside its range.
    #[error("{what}: expected {expected}, got {}", plain(*.got))]
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
    /// The accountant `pld` does not know the mechanism's losses.
    #[error(
        "accountant `pld`: expected sampled or plain Gaussians, or discrete ones on a single number; the \
         losses of noise that several sites add, and of vectors of integers, are only bounded: use `rdp`"
    )]
    NoLossDistribution,
    /// Round-off would take all of delta.
    #[error(
        "accountant `pld`: rounding of {times:e} releases takes more than the delta {delta:e} allows; \
         use `rdp`"
    )]
    NotResolved {
        /// The delta.
        delta: f64,
        /// Releases in all.
        times: f64,
    },
    /// An epsilon that says nothing, and would take hours on a grid.
    #[error(
        "accountant `pld`: epsilon is about {about:.1e}, and from {most:.0e} on nothing is hidden; use `rdp`, \
         or more noise"
    )]
    TooLarge {
        /// What the accountant `rdp` says.
        about: f64,
        /// Where this one ends.
        most: f64,
    },
    /// No noise is enough.
    #[error(
        "epsilon {epsilon}: expected a target that some noise meets, but even a noise multiplier of {noise} \
         gives {reached}; raise epsilon or delta, or sample or train less"
    )]
    TooStrict {
        /// The target.
        epsilon: f64,
        /// The most noise that was tried.
        noise: f64,
        /// The epsilon that it gives.
        reached: f64,
    },
    /// Next to no noise is enough.
    #[error(
        "epsilon {epsilon}: expected a target that needs noise, but a noise multiplier of {noise} gives \
         {reached} already; lower epsilon or delta"
    )]
    TooLax {
        /// The target.
        epsilon: f64,
        /// The least noise that was tried.
        noise: f64,
        /// The epsilon that it gives.
        reached: f64,
    },
}

/// A number as people write it: 200 digits say less than an exponent.
#[must_use]
pub fn plain(number: f64) -> String {
    match number == 0.0 || (1e-6..1e15).contains(&number.abs()) {
        true => format!("{number}"),
        false => format!("{number:e}"),
    }
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
