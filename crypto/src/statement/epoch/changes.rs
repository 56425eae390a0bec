//! What the changes of an epoch make of a roster.

use std::collections::BTreeSet;

use super::{Change, EpochError};
use crate::statement::RosterEntry;

/// The roster that changes give: sites that come stand last, in the order of the changes; all others
/// keep their order.
///
/// # Errors
/// [`EpochError`] for no change at all, a site that stands in two of them, one that comes and is on
/// the roster, one that is changed and is not, and new keys that are the old ones.
pub fn change_roster(
    before: &[RosterEntry],
    changes: &[Change],
) -> Result<Vec<RosterEntry>, EpochError> {
    if changes.is_empty() {
        return Err(EpochError::NoChange);
    }
    let mut named = BTreeSet::new();
    let mut roster = before.to_vec();
    for change in changes {
        let site = change.site();
        if !named.insert(site) {
            return Err(EpochError::SiteTwice(site.clone()));
        }
        let place = roster.iter().position(|entry| entry.id == *site);
        let unknown = || EpochError::NotOnRoster(site.clone());
        match change {
            Change::Enrol { entry } => match place {
                None => roster.push(entry.clone()),
                Some(_) => return Err(EpochError::OnRoster(site.clone())),
            },
            Change::Rotate { entry } => {
                let known = place.and_then(|place| roster.get_mut(place)).ok_or_else(unknown)?;
                if known == entry {
                    return Err(EpochError::SameKeys(site.clone()));
                }
                *known = entry.clone();
            }
            Change::Revoke { .. } | Change::Leave { .. } => {
                roster.remove(place.ok_or_else(unknown)?);
            }
        }
    }
    Ok(roster)
}
