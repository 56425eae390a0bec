//! Who is certainly corrupt, and which pairs of sites contain a corrupt one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::SiteId;
use crate::wire::canonical::{self, canonical};

/// What the rounds before have shown. No site stands in two entries, and each entry stands for at
/// least one corrupt site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Certainly corrupt sites, in the order in which they were found.
    pub barred: Vec<SiteId>,
    /// Pairs of sites, holder and dealer, of which one accused the other.
    pub pairs: Vec<Pair>,
}
canonical!(Trust { barred, pairs });

impl Trust {
    /// The digest that a manifest names: of the canonical bytes, under the label `trust`.
    pub fn digest(&self) -> Digest {
        canonical::digest("trust", self)
    }

    /// The same without these sites, and without the pairs that they are in: they are on the roster no
    /// more.
    #[must_use]
    pub fn without(&self, gone: &[&SiteId]) -> Self {
        let stays = |site: &SiteId| !gone.contains(&site);
        Self {
            barred: self.barred.iter().filter(|site| stays(site)).cloned().collect(),
            pairs: self
                .pairs
                .iter()
                .filter(|pair| stays(&pair.holder) && stays(&pair.dealer))
                .cloned()
                .collect(),
        }
    }
}

/// A holder and a dealer, at least one of which is corrupt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Whose review accuses.
    pub holder: SiteId,
    /// Whom it accuses.
    pub dealer: SiteId,
}
canonical!(Pair { holder, dealer });

/// More sites are shown to be corrupt than the study allows for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entries} sites or pairs of sites are shown to be corrupt, and the study is safe with c = {collusion} corrupt sites at most: stop it, and keep all statements as evidence"
)]
pub struct Broken {
    /// Barred sites and pairs.
    pub entries: usize,
    /// The study's bound.
    pub collusion: u16,
}

impl Trust {
    /// `c'`: how many sites that stand in no entry may be corrupt.
    ///
    /// # Errors
    /// [`Broken`] when the entries use up more than `c`.
    pub fn remaining(&self, collusion: u16) -> Result<usize, Broken> {
        let entries = self.barred.len() + self.pairs.len();
        usize::from(collusion).checked_sub(entries).ok_or(Broken { entries, collusion })
    }

    /// Whether a site is certainly corrupt.
    pub fn bars(&self, site: &SiteId) -> bool {
        self.barred.contains(site)
    }

    /// Whether a site stands in an entry: as a holder it is set aside then.
    pub fn sets_aside(&self, site: &SiteId) -> bool {
        self.bars(site) || self.pairs.iter().any(|pair| pair.has(site))
    }

    /// Bars sites, and dissolves the pairs that they are in.
    pub fn bar(&mut self, sites: &BTreeSet<SiteId>) {
        self.pairs.retain(|pair| !sites.contains(&pair.holder) && !sites.contains(&pair.dealer));
        let new: Vec<SiteId> = sites.iter().filter(|site| !self.bars(site)).cloned().collect();
        self.barred.extend(new);
    }

    /// Makes a pair of two sites that stand in no entry; others change nothing.
    pub(super) fn pair(&mut self, holder: &SiteId, dealer: &SiteId) {
        if !self.sets_aside(holder) && !self.sets_aside(dealer) {
            self.pairs.push(Pair { holder: holder.clone(), dealer: dealer.clone() });
        }
    }
}

impl Pair {
    fn has(&self, site: &SiteId) -> bool {
        self.holder == *site || self.dealer == *site
    }
}
