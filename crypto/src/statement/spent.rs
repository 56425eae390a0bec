//! What a site states of its privacy budget, in the header of each contribution.

use serde::{Deserialize, Serialize};

use super::privacy_policy::{Budget, PrivacyPolicy};
use crate::wire::canonical::canonical;

/// What a site's data have spent of the study's budget, the round of the header that states it
/// included. Nobody else can check the figure: it is the site's word, and stands in the log with
/// its contribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Rounds that it has contributed to, this one included.
    pub rounds: u32,
    /// Epsilon spent since the study began, rounded up.
    pub epsilon: f32,
    /// The policy's delta.
    pub delta: f32,
}
canonical!(Spent { rounds, epsilon, delta });

/// A statement on the budget that the study's policy does not allow: the fault of the site that
/// signed it.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SpentError {
    /// The policy promises a guarantee.
    #[error(
        "it does not say what its data have spent of the privacy budget, and the study's policy asks for it"
    )]
    Missing,
    /// The policy promises none.
    #[error(
        "it states a spent privacy budget (epsilon {0}), expected none: the study's policy has no budget"
    )]
    Unexpected(f32),
    /// Not even this round is counted.
    #[error("it states a privacy budget spent in 0 rounds, expected at least 1: this one counts")]
    NoRounds,
    /// No number.
    #[error("it states that epsilon {0} is spent, expected a finite number from 0 on")]
    Epsilon(f32),
    /// More than may be spent.
    #[error(
        "it states that epsilon {got} is spent, expected at most {epsilon}, the study's budget"
    )]
    Exceeded {
        /// As stated.
        got: f32,
        /// The policy's.
        epsilon: f32,
    },
    /// An epsilon at another delta says nothing of this one.
    #[error("it states what is spent at delta {got}, expected {delta}, the study's")]
    OtherDelta {
        /// As stated.
        got: f32,
        /// The policy's.
        delta: f32,
    },
}

impl PrivacyPolicy {
    /// Checks what a header states of its site's budget: present exactly where the policy has a
    /// budget, at the policy's delta and within its epsilon.
    ///
    /// # Errors
    /// [`SpentError`]: the fault of the site that signed the header.
    pub fn check_spent(&self, spent: Option<Spent>) -> Result<(), SpentError> {
        let (budget, spent) = match (self.budget(), spent) {
            (None, None) => return Ok(()),
            (None, Some(spent)) => return Err(SpentError::Unexpected(spent.epsilon)),
            (Some(_), None) => return Err(SpentError::Missing),
            (Some(budget), Some(spent)) => (budget, spent),
        };
        let Spent { rounds, epsilon: got, delta: at } = spent;
        let Budget { epsilon, delta } = budget;
        if rounds == 0 {
            return Err(SpentError::NoRounds);
        }
        if !(got.is_finite() && got >= 0.0) {
            return Err(SpentError::Epsilon(got));
        }
        if at != delta {
            return Err(SpentError::OtherDelta { got: at, delta });
        }
        if got > epsilon {
            return Err(SpentError::Exceeded { got, epsilon });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::privacy_policy::SiteLevel;
    use super::*;

    #[test]
    fn what_is_spent_is_held_against_the_policy() {
        let (delta, epsilon) = (1e-5, 8.0);
        let policy = PrivacyPolicy::SiteLevel(SiteLevel {
            clip: 1.0,
            noise_multiplier: 1.0,
            delta,
            epsilon,
        });
        let spent = Spent { rounds: 3, epsilon: 2.5, delta };
        let check = |spent| policy.check_spent(Some(spent));
        for epsilon in [0.0, 2.5, 8.0] {
            assert_eq!(check(Spent { epsilon, ..spent }), Ok(()));
        }
        let got = 8.0f32.next_up();
        assert_eq!(
            check(Spent { epsilon: got, ..spent }),
            Err(SpentError::Exceeded { got, epsilon })
        );
        for wrong in [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = check(Spent { epsilon: wrong, ..spent }).unwrap_err();
            assert!(matches!(error, SpentError::Epsilon(_)), "{error}");
        }
        assert_eq!(check(Spent { rounds: 0, ..spent }), Err(SpentError::NoRounds));
        for other in [delta.next_up(), 0.0, f32::NAN] {
            let error = check(Spent { delta: other, ..spent }).unwrap_err();
            assert!(matches!(error, SpentError::OtherDelta { .. }), "{error}");
        }
        assert_eq!(policy.check_spent(None), Err(SpentError::Missing));
        for none in [PrivacyPolicy::None, PrivacyPolicy::SetsApart] {
            assert_eq!(none.check_spent(None), Ok(()));
            assert_eq!(none.check_spent(Some(spent)), Err(SpentError::Unexpected(2.5)));
        }
    }
}
