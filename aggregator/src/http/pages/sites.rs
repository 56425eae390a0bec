//! The sites of a round in a table: the picture of the ring, in words.

use maud::{Markup, html};

use super::ring::{Part, parts};
use super::shell::table;
use crate::core::round_view::RoundView;

/// Sites that are listed at most: of more, those that matter first.
const MOST: usize = 100;

/// The table.
pub(super) fn sites(view: &RoundView) -> Markup {
    let parts = parts(view);
    let mut places: Vec<usize> = (0..parts.len()).collect();
    if places.len() > MOST {
        // Holders, and those who have not come, before the others; each in ring order.
        places.sort_by_key(|place| {
            parts.get(*place).is_none_or(|part| part.contributed && !part.holds)
        });
    }
    let shown: Vec<usize> = places.iter().copied().take(MOST).collect();
    let rows = html! {
        @for place in &shown {
            @if let (Some(site), Some(part)) = (view.roster.get(*place), parts.get(*place)) {
                tr {
                    td.number { (place + 1) }
                    th scope="row" { bdi { (site) } }
                    td { (roles(*part)) }
                    td { (so_far(*part)) }
                }
            }
        }
    };
    html! {
        (table("Sites in ring order", &["No.", "Site", "Part", "So far"], rows))
        @if parts.len() > MOST {
            p.quiet {
                (MOST) " of " (parts.len()) " sites: key holders first, then those who have not \
                 contributed. The round's status has all of them."
            }
        }
    }
}

fn roles(part: Part) -> Markup {
    let roles =
        [(part.initiates, "opened it"), (part.holds, "holds keys"), (part.barred, "barred")];
    let named: Vec<&str> = roles.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    html! { (named.join(", ")) }
}

fn so_far(part: Part) -> Markup {
    html! {
        @match (part.contributed, part.acknowledged) {
            (false, false) => span.quiet { "nothing yet" },
            (true, false) => span.yes { "contributed" },
            (false, true) => span.yes { "acknowledged" },
            (true, true) => span.yes { "contributed, acknowledged" },
        }
    }
}
