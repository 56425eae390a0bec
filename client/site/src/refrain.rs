//! What keeps a site's contribution out of one round, and nothing else.

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::RoundState;
use ringfence_keys::duties::abstention::AbstentionError;
use ringfence_keys::duties::contributor::RuleError;

use crate::error::SiteError;
use crate::event::Event;
use crate::late::Late;
use crate::site::Site;

/// What the aggregator answers when it is too late, or something else came before.
const CONFLICT: u16 = 409;

impl Site {
    /// Tells why this site does not contribute to a round in which it goes on without, as key holder
    /// and with the others' mean. `trained`: it has trained for it.
    ///
    /// # Errors
    /// Any other error, as it came.
    pub async fn refrain(
        &self,
        error: SiteError,
        (round, trained): (RoundNumber, bool),
    ) -> Result<(), SiteError> {
        let not_contributing = |round, error: &dyn ToString| {
            self.tell(&Event::NotContributing { round, reason: error.to_string() });
        };
        match error {
            SiteError::TooLate(Late { round, deadline, state }) => {
                let holds = self.holds(round);
                self.tell(&Event::TooLate { round, deadline, state, trained, holds });
            }
            SiteError::Barred { round, .. }
            | SiteError::Rule(RuleError::Abstains(
                AbstentionError::Through { round, .. }
                | AbstentionError::OpenedBefore { round, .. },
            )) => not_contributing(round, &error),
            SiteError::Ledger(error) if error.leaves_out_round() => not_contributing(round, &error),
            // The last look came before, and the last bytes too late: if that is why.
            SiteError::Transport(refusal)
                if refusal.status() == Some(CONFLICT)
                    && self.look(round).await?.state != RoundState::Collecting =>
            {
                let wanted = format!("this site's contribution to round {round}");
                let so = "it is too late, and this site waits for the round's end";
                self.tell_refused(&wanted, &refusal, so);
            }
            error => return Err(error),
        }
        Ok(())
    }
}
