//! What a round's opening found out about other sites, as it is printed and recorded.

use std::fmt;
use std::path::PathBuf;

use ringfence_crypto::dealing::Pair;
use ringfence_crypto::id::SiteId;
use serde::{Deserialize, Serialize};

use crate::done::Done;

/// What one round shows of sites that do not keep to the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// What was found out while the sum was checked, in words.
    pub evidence: Vec<String>,
    /// The files that keep the signed statements which show it to others.
    pub evidence_files: Vec<PathBuf>,
    /// Contributions that the certified set leaves out, each with the reason.
    pub excluded: Vec<(SiteId, String)>,
    /// Sites whose contributions a verdict took out of the mean.
    pub removed: Vec<SiteId>,
    /// Sites that are barred from the next round on and were not before.
    pub barred: Vec<SiteId>,
    /// Pairs of a key holder and a dealer, one of which is corrupt, that were not known before.
    pub pairs: Vec<Pair>,
}

impl Findings {
    /// Whether nothing was found out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Done<'_> {
    /// What this round found out about others.
    pub fn findings(&self) -> Findings {
        let Self { trust, trust_before, proceedings, .. } = self;
        let excluded = self.certificate().closing.statement.excluded.iter();
        let evidence = Some(&self.evidence_file).filter(|file| file.is_file());
        let files = evidence.into_iter().chain(&self.reviews_file);
        let barred = trust.barred.iter().filter(|site| !trust_before.bars(site));
        let pairs = trust.pairs.iter().filter(|pair| !trust_before.pairs.contains(pair));
        Findings {
            evidence: self.evidence.iter().map(ToString::to_string).collect(),
            evidence_files: files.cloned().collect(),
            excluded: excluded
                .map(|entry| (entry.site.clone(), entry.reason.to_string()))
                .collect(),
            removed: proceedings.removed().into_iter().collect(),
            barred: barred.cloned().collect(),
            pairs: pairs.cloned().collect(),
        }
    }
}

impl fmt::Display for Findings {
    /// A line for each; no line when there is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.evidence.clone();
        let files = self.evidence_files.iter();
        lines.extend(files.map(|file| format!("evidence kept in {}", file.display())));
        let excluded = self.excluded.iter();
        lines.extend(excluded.map(|(site, reason)| format!("{site} is left out: {reason}")));
        let removed = self.removed.iter();
        lines.extend(removed.map(|site| format!("{site} is taken out of the mean by a verdict")));
        let barred = self.barred.iter();
        lines.extend(barred.map(|site| format!("{site} is barred from the next round on")));
        lines.extend(self.pairs.iter().map(|Pair { holder, dealer }| {
            format!(
                "{holder} or {dealer} is corrupt: {holder} says that {dealer} dealt it a wrong share; as key holders both are set aside"
            )
        }));
        f.write_str(&lines.join("\n"))
    }
}
