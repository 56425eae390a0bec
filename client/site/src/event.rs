//! What happens at a site that its people should see: one kind of value, which commands print.

use std::fmt;

use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::Spent;
use ringfence_keys::update::site_noise::inexact::not_outright;
use ringfence_words::counted;
use serde::Serialize;

use crate::contribute::Sealing;
use crate::late::Late;
use crate::ledger::{UnitKind, shown};
use crate::round_wait::RoundWait;
use crate::transport::ClocksApart;
use crate::turn::Turn;

/// Something that has changed for a site. As JSON it is one object, whose `event` names its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The aggregator's clock and this one differ much.
    ClocksApart(ClocksApart),
    /// Whose turn it is to open the next round.
    Turn(Turn),
    /// A round is open, and its manifest has been checked.
    RoundOpened {
        /// The round.
        round: RoundNumber,
        /// Who opened it.
        initiator: SiteId,
        /// Until when it takes contributions.
        deadline: UnixSeconds,
    },
    /// This site waits for others in a round.
    Waiting(RoundWait),
    /// A step failed that may succeed later, and is repeated until it does.
    Repeating {
        /// What stands in the way.
        reason: String,
        /// When this site gives up.
        until: UnixSeconds,
    },
    /// What was repeated has succeeded.
    Resumed,
    /// The aggregator refused something, and the site goes on.
    Refused {
        /// What this site wanted.
        wanted: String,
        /// The HTTP status.
        status: u16,
        /// The reason that the aggregator gave, fit to be shown.
        detail: String,
        /// What this site does about it.
        so: String,
    },
    /// This site's contribution has a receipt.
    Contributed {
        /// The round.
        round: RoundNumber,
        /// Bytes of body and envelopes.
        bytes: u64,
        /// What clipping took from the update, in words.
        clipped: Option<String>,
        /// How its shares were sealed.
        sealing: Sealing,
    },
    /// A round is charged to this site's privacy ledger.
    Charged {
        /// The round.
        round: RoundNumber,
        /// What the budget is for.
        unit: UnitKind,
        /// What is spent with it, by the unit that has spent most.
        spent: Spent,
        /// How far the sums are from those that have this guarantee, where they have it not outright.
        within: Option<f64>,
    },
    /// After a restore, every round that the privacy ledger may have forgotten is charged.
    ChargedForgotten {
        /// The last of them.
        through: RoundNumber,
        /// What is spent with them.
        spent: Spent,
        /// As above.
        within: Option<f64>,
    },
    /// A round takes no contribution of this site any more.
    TooLate {
        /// The round.
        round: RoundNumber,
        /// Until when it took contributions.
        deadline: UnixSeconds,
        /// Where it stands, as the aggregator says.
        state: RoundState,
        /// Whether this site has trained for it.
        trained: bool,
        /// Whether this site goes on in it as key holder.
        holds: bool,
    },
    /// This site does not contribute to a round.
    NotContributing {
        /// The round.
        round: RoundNumber,
        /// Why.
        reason: String,
    },
    /// As a key holder, this site complains about what was dealt to it, or cannot open.
    HolderTrouble {
        /// The round.
        round: RoundNumber,
        /// What is wrong.
        reason: String,
    },
    /// A site that was restored from a backup was told how far the study is.
    ToldRestored {
        /// That site.
        site: SiteId,
    },
}

impl Event {
    /// What is said of it once, for what happens once in a round; none for what is said whenever it
    /// happens.
    pub(crate) fn said_once(&self) -> Option<String> {
        match self {
            Self::Turn(Turn { round, .. }) => Some(format!("turn {round}")),
            Self::RoundOpened { round, .. } => Some(format!("opened {round}")),
            Self::Contributed { round, .. } => Some(format!("contributed {round}")),
            Self::Charged { round, .. } => Some(format!("charged {round}")),
            Self::TooLate { round, .. } => Some(format!("late {round}")),
            Self::NotContributing { round, reason } => Some(format!("not {round}: {reason}")),
            Self::HolderTrouble { round, reason } => Some(format!("holder {round}: {reason}")),
            // The detail may hold the time of day.
            Self::Refused { wanted, status, .. } => Some(format!("refused {status}: {wanted}")),
            Self::ClocksApart(_)
            | Self::Waiting(_)
            | Self::Repeating { .. }
            | Self::Resumed
            | Self::ChargedForgotten { .. }
            | Self::ToldRestored { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    /// A line for each thing that is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClocksApart(apart) => write!(f, "warning: {apart}"),
            Self::Turn(turn) => turn.fmt(f),
            Self::RoundOpened { round, initiator, deadline } => write!(
                f,
                "round {round}: opened by {initiator}; it takes contributions until {}",
                deadline.utc()
            ),
            Self::Waiting(waiting) => waiting.fmt(f),
            Self::Repeating { reason, until } => {
                write!(f, "waiting until {} at most: {reason}", until.utc())
            }
            Self::Resumed => f.write_str("that is over; going on"),
            Self::Refused { wanted, status, detail, so } => {
                write!(f, "the aggregator refused {wanted} ({status}): {detail}; {so}")
            }
            Self::Contributed { round, bytes, clipped, sealing } => {
                let mebibytes = *bytes as f64 / (1 << 20) as f64;
                write!(f, "round {round}: contributed {mebibytes:.2} MiB")?;
                clipped.iter().try_for_each(|clipped| write!(f, "\nround {round}: {clipped}"))?;
                sealing
                    .to_string()
                    .lines()
                    .try_for_each(|line| write!(f, "\nround {round}: {line}"))
            }
            Self::Charged { round, unit, spent, within } => write!(
                f,
                "round {round}: charged to the privacy ledger; after {} the {unit} that has spent most stands at epsilon {} (delta {}){}",
                counted(spent.rounds.into(), "round"),
                shown(spent.epsilon.into()),
                spent.delta,
                caveat(*within)
            ),
            Self::ChargedForgotten { through, spent, within } => write!(
                f,
                "after the restore: every round through {through} that the privacy ledger may have forgotten is charged, as far as the study's plan and budget allow that there was one: {} of this study in all and epsilon {} (delta {}){}",
                counted(spent.rounds.into(), "round"),
                shown(spent.epsilon.into()),
                spent.delta,
                caveat(*within)
            ),
            Self::TooLate { round, deadline, state, trained, holds } => {
                let late = Late { round: *round, deadline: *deadline, state: *state };
                let what = match trained {
                    false => "this site does not train for it",
                    true => {
                        "what this site has trained for it is not sent; rounds that are open for longer (`join --round-seconds` of whoever opens them) would wait for it"
                    }
                };
                let holder = if *holds { ", as key holder," } else { "" };
                let next = round.next();
                write!(
                    f,
                    "{late}; nothing is charged or sent, and {what}; this site{holder} waits for the round's end and goes on with round {next}"
                )
            }
            Self::NotContributing { round, reason } => {
                write!(f, "round {round}: no contribution of this site: {reason}")
            }
            Self::HolderTrouble { round, reason } => {
                write!(f, "round {round}, as key holder: {reason}")
            }
            Self::ToldRestored { site } => {
                write!(f, "told {site}, which was restored from a backup, how far the study is")
            }
        }
    }
}

/// What an epsilon does not hold for, behind it.
fn caveat(within: Option<f64>) -> String {
    within.map(|within| format!("; NOT for {}", not_outright(within))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epsilon_that_does_not_hold_outright_is_said_with_what_it_does_not_hold_for() {
        let said = |within| {
            let spent = Spent { rounds: 2, epsilon: 40.0, delta: 1e-5 };
            let round = RoundNumber(1);
            let charged = Event::Charged { round, unit: UnitKind::Site, spent, within };
            let forgotten = Event::ChargedForgotten { through: round, spent, within };
            [charged.to_string(), forgotten.to_string()]
        };
        let caveat =
            "(delta 0.00001); NOT for the sums themselves, at so large an epsilon: they are";
        assert!(said(Some(1e-9)).iter().all(|text| text.contains(caveat)));
        assert!(said(None).iter().all(|text| text.ends_with("epsilon 40.0000 (delta 0.00001)")));
    }
}
