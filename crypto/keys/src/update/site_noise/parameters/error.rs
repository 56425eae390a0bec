//! Why whole sites cannot be protected with some numbers.

use crate::update::site_noise::discrete_gaussian::SigmaError;

/// Numbers with which site-level privacy does not work, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SiteNoiseError {
    /// Another policy.
    #[error("the study's policy does not protect whole sites; expected site_level")]
    Policy,
    /// A number that is none.
    #[error("{name} is {got}, expected a finite number above 0")]
    Number {
        /// Which.
        name: &'static str,
        /// What came.
        got: f32,
    },
    /// No value, or no honest site.
    #[error(
        "expected a model of at least one value and min_sites above c, got {values} values, min_sites {min_sites} and c = {collusion}"
    )]
    Nothing {
        /// Values of the model.
        values: usize,
        /// Fewest contributions.
        min_sites: u16,
        /// Colluders.
        collusion: u16,
    },
    /// Steps of different sizes.
    #[error(
        "tensor {tensor:?} has the clip bound {got} and the first one {expected}; privacy for whole sites needs one bound for all tensors, so that a step is the same everywhere"
    )]
    ElementBounds {
        /// The tensor.
        tensor: String,
        /// Its bound.
        got: f32,
        /// The first tensor's.
        expected: f32,
    },
    /// Rounding is as large as the update.
    #[error(
        "{bits} bits are too few for {values} values: rounding alone is {rounding:.0} steps long and the whole update {steps:.0}, so that the noise would be {percent:.0} % above that of a central Gaussian, and at most {most:.0} % are taken; {}",
        match .works {
            Some(bits) => format!("from {bits} bits a value on it works, or with a smaller element bound"),
            None => "no number of bits is enough: take a smaller element bound or a larger clip".to_owned(),
        }
    )]
    TooCoarse {
        /// Bits of a value.
        bits: u8,
        /// Values of the model.
        values: usize,
        /// `sqrt(d/2)`.
        rounding: f64,
        /// `R`.
        steps: f64,
        /// The excess, in percent.
        percent: f64,
        /// What is taken, in percent.
        most: f64,
        /// The least number of bits that works.
        works: Option<u8>,
    },
    /// Noise that the sampler does not have.
    #[error(transparent)]
    Sigma(#[from] SigmaError),
    /// The study states another bound.
    #[error(
        "the study's packing has room for noise of {stated}, expected {derived} from its policy; draft it anew"
    )]
    Bound {
        /// As stated.
        stated: u32,
        /// `B`.
        derived: u32,
    },
    /// A delta with which publishing all about one site would count as private.
    #[error(
        "delta {delta:e} is too large for {sites} sites, expected below 1/{sites}: at that delta publishing all about one of them would count as private"
    )]
    DeltaForSites {
        /// The policy's.
        delta: f32,
        /// Sites of the study.
        sites: usize,
    },
    /// A delta that the sampler's distance takes up.
    #[error(
        "delta {delta:e} is too small for {rounds} rounds: the noise is within {distance:.1e} of exact, which may take a tenth of delta at most; choose a larger delta or fewer rounds"
    )]
    Delta {
        /// The policy's.
        delta: f32,
        /// Rounds of the study.
        rounds: u32,
        /// Statistical distance of all noise from exact noise.
        distance: f64,
    },
}
