//! Sets, manifests and steps in words.

use crate::model::{Action, Exploration, Without};
use crate::world::{ClosingAt, ManifestAt, Restored, World};

impl World {
    /// A set in words.
    pub(crate) fn describe(&self, closing: ClosingAt) -> String {
        let known = self.closing(closing);
        let round = self.round_of(closing);
        let manifest = self.describe_manifest(known.manifest);
        let members: Vec<String> = (0..self.menu.sites)
            .filter(|site| known.members >> site & 1 == 1)
            .map(|site| site.to_string())
            .collect();
        let what = match members.is_empty() {
            true => "abort".to_owned(),
            false => format!("set {{{}}}", members.join(", ")),
        };
        let rank = self.manifest(known.manifest).closings.iter().position(|k| *k == closing);
        format!("{what} of round {round} (manifest {manifest}, closing {})", rank.unwrap_or(0))
    }

    /// A manifest in words.
    pub(crate) fn describe_manifest(&self, manifest: ManifestAt) -> String {
        let known = self.manifest(manifest);
        let base = match known.base {
            None => "the initial model".to_owned(),
            Some(closing) => format!("the mean of round {}", self.round_of(closing)),
        };
        format!("#{manifest} on {base}")
    }
}

impl Exploration {
    /// A step in words.
    pub(crate) fn describe(&self, action: Action) -> String {
        let world = &self.world;
        let crashed = |crash| match (crash, self.without) {
            (false, _) => "",
            (true, Without::DurableEndorsements | Without::DurableHeaders) => {
                "; it sends before it writes, crashes, and has forgotten"
            }
            (true, _) => "; it crashes before it sends",
        };
        match action {
            Action::Contribute { site, manifest, crash } => {
                let round = world.manifest(manifest).round;
                let manifest = world.describe_manifest(manifest);
                format!(
                    "site {site} contributes to round {round} (manifest {manifest}){}",
                    crashed(crash)
                )
            }
            Action::Endorse { site, closing, crash } => {
                format!("site {site} endorses the {}{}", world.describe(closing), crashed(crash))
            }
            Action::Learn { site, closing } => {
                format!("site {site} takes the round for ended by the {}", world.describe(closing))
            }
            Action::Open { site, closing } => {
                format!("site {site} opens the {}", world.describe(closing))
            }
            Action::Restore { site, restored } => {
                let through = match restored {
                    Restored::Everywhere => String::new(),
                    Restored::Through(round) => format!("; it abstains through round {round}"),
                };
                format!(
                    "site {site} loses its disk and goes on from a backup in which nothing had happened yet{through}"
                )
            }
        }
    }
}
