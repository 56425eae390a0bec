//! The test vectors `v2` against the secret half. See `crypto/tests/vectors/README.md`.

#[macro_use]
#[path = "../../../tests/vectors/files.rs"]
mod files;
mod contributions;
mod disputed;
mod parts;
mod sealing;
mod sharing;
mod story;
mod sums;
mod weighting;

/// Where the vectors lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/v2");

checks! { FOLDER, "secret";
    transform => parts::transform,
    gaussian => parts::gaussian,
    quantize => parts::quantize,
    weighting => weighting::weighting,
    check_words => parts::check_words,
    identities => sealing::identities,
    seal => sealing::seal,
    seal_bad => sealing::seal_bad,
    contribution => contributions::contribution,
    header_words_bad => contributions::header_words_bad,
    envelope_bad => contributions::envelope_bad,
    sharing => sharing::sharing,
    sharing_bad => sharing::sharing_bad,
    share_bad => sharing::share_bad,
    challenge => disputed::challenge,
    functionals => disputed::functionals,
    coefficient => disputed::coefficient,
    disputed => disputed::disputed,
    opened => sums::opened,
    opening_bad => sums::opening_bad,
    sum_bad => sums::sum_bad,
    endorse_bad => sums::endorse_bad,
}
