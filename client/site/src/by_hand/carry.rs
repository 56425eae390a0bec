//! At the carrier: what a site says is passed on, and what it needs next is fetched.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::{PublicKey, Statement};
use ringfence_crypto::statement::{CarrierPermit, Lineage, PermitError, SignedStudy};
use ringfence_keys::identity::Identity;
use tempfile::NamedTempFile;

use super::bundle::{Bundle, BundleWriter};
use super::contents::{Item, Kind, Of, Outcome, Refusal, Way};
use super::error::ByHandError;
use super::fetch::{Recorder, Wanted};
use crate::epochs::known_epochs;
use crate::transport::{Transport, TransportError};

/// The refusal that is of the carrier, its permit or its clock, and not of what it carries.
const OF_THE_CARRIER: u16 = 401;

/// Whoever carries a site's bundles, with a key of its own and none of the site's.
#[derive(Debug)]
pub struct Carrier {
    identity: Arc<Identity>,
    transport: Transport,
}

/// A message that the aggregator did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it was, in words.
    pub what: String,
    /// Why.
    pub detail: String,
}

/// What carrying came to.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Whose bundle it was.
    pub site: SiteId,
    /// In which study.
    pub study: StudyId,
    /// What the aggregator has taken, or had already, in words.
    pub taken: Vec<String>,
    /// What it refused.
    pub refused: Vec<Refused>,
    /// Answers in the bundle for the site.
    pub answers: usize,
    /// Length of that bundle.
    pub bytes: u64,
    /// How far the study is, in words.
    pub stands: String,
    /// Until when the site's permit lasts.
    pub until: UnixSeconds,
}

impl Carrier {
    /// A carrier with these keys, and its connection to the aggregator.
    pub fn new(identity: Identity, transport: Transport) -> Self {
        Self { identity: Arc::new(identity), transport }
    }

    /// Passes on what is in the bundle `from`, and writes what the site needs next to the bundle `to`.
    /// It may be done again, and does nothing new then.
    ///
    /// # Errors
    /// [`ByHandError`]; then `to` is as it was, and it may be done again.
    pub async fn carry(&self, from: &Path, to: &Path) -> Result<Carried, ByHandError> {
        let bundle = Bundle::open(from)?;
        let Way::FromSite { permit, first_round, seen_log, wanted, .. } = bundle.way.clone() else {
            let (expected, got) = ("to the aggregator", "to the site");
            return Err(ByHandError::Direction { path: from.to_owned(), expected, got });
        };
        let Of { study, site, aggregator_key } = bundle.of.clone();
        let own = self.identity.public().signature_key;
        if permit.statement.carrier != own {
            let (permitted, got) = (Box::new(permit.statement.carrier), Box::new(own));
            let (path, carrier) = (from.to_owned(), self.identity.site().clone());
            return Err(ByHandError::OtherCarrier { path, permitted, carrier, got });
        }
        let places = bundle.items.iter().map(|(item, _)| &item.path).chain(&wanted);
        for place in places {
            if !is_of(place, study) {
                let (path, what) = (from.to_owned(), place.chars().take(200).collect());
                return Err(ByHandError::Place { path, what, study });
            }
        }
        let now = self.transport.time(&aggregator_key).await?;
        let until = permit.statement.until;
        let transport = self.transport.clone();
        let transport = transport.of_carrier(Arc::clone(&self.identity), Arc::new(permit.clone()));
        let signed: SignedStudy = transport.study(study).await?;
        signed.verify()?;
        let (got_study, got_site) = (signed.study.id(), site.clone());
        let other = || {
            let site = site.clone();
            PermitError::Other { study, site, got_study, got_site: got_site.clone() }
        };
        if got_study != study {
            return Err(other().into());
        }
        if signed.study.aggregator_key != aggregator_key {
            let (expected, got) = (Box::new(signed.study.aggregator_key), Box::new(aggregator_key));
            let path = from.to_owned();
            return Err(ByHandError::OtherAggregator { path, expected, got });
        }
        // The site may have come, or have new keys, by a change of the roster.
        let lineage = Lineage::of(Arc::new(signed.study));
        let known = known_epochs(&transport, lineage.clone()).await?;
        let members = known.all().rev().filter_map(|study| study.study.site(&site));
        let mut keys: Vec<PublicKey> = members.map(|member| member.signature_key).collect();
        let holds = |key: &PublicKey| permit.verify(key, &site).is_ok();
        if !keys.iter().any(holds) {
            // Or it is asked whether it comes, or has new keys.
            let proposed = transport.proposed_epochs(study).await?;
            let coming = proposed.iter().filter_map(|signed| signed.after.site(&site));
            keys.extend(coming.map(|entry| entry.signature_key));
        }
        let key = keys.iter().find(|key| permit.verify(key, &site).is_ok()).or(keys.first());
        let key = key.ok_or_else(other)?;
        CarrierPermit::check(&permit, study, &site, key, now)?;

        let mut outcomes = Vec::new();
        for (item, start) in &bundle.items {
            let refused = match self.pass(&transport, &bundle, (item, *start)).await {
                Ok(()) => None,
                Err(ByHandError::Transport(TransportError::Refused { status, detail, .. }))
                    if (400..500).contains(&status)
                        && ![408, 429].contains(&status)
                        && status != OF_THE_CARRIER =>
                {
                    Some(Refusal { status, detail })
                }
                Err(error) => return Err(error),
            };
            let (message, what) = (item.message(), item.described());
            outcomes.push(Outcome { message, what, refused });
        }
        let taken = outcomes.iter().filter(|outcome| outcome.refused.is_none());
        let taken = taken.map(|outcome| outcome.what.clone()).collect();
        let refused = outcomes.iter().filter_map(|outcome| {
            let detail = outcome.refused.as_ref()?.detail.clone();
            Some(Refused { what: outcome.what.clone(), detail })
        });
        let refused = refused.collect();

        // Before anything is fetched: the answers are of then or later.
        let made_at = self.transport.time(&aggregator_key).await?;
        let recorder = Arc::new(Recorder::new(BundleWriter::new(to)?));
        let wanted = Wanted { site: site.clone(), first_round, seen_log, places: wanted };
        let stands = wanted.fetch(transport.recorded_by(Arc::clone(&recorder)), lineage).await?;
        let way = Way::ToSite { made_at, outcomes };
        let (answers, bytes) = recorder.finish(bundle.of, way)?;
        Ok(Carried { site, study, taken, refused, answers, bytes, stands, until })
    }

    /// Passes one message on.
    async fn pass(
        &self,
        transport: &Transport,
        bundle: &Bundle,
        (item, start): (&Item, u64),
    ) -> Result<(), ByHandError> {
        let file = ByHandError::file(&bundle.path);
        match &item.kind {
            Kind::Answer { .. } => Ok(()),
            Kind::Message { method, content_type } => {
                let bytes = bundle.bytes(item, start).map_err(file)?;
                let method = if method == "POST" { Method::POST } else { Method::PUT };
                Ok(transport.pass_on(&item.path, method, content_type, bytes).await?)
            }
            Kind::Body => {
                let parts: Vec<&str> = item.path.split('/').collect();
                let ["studies", _, "rounds", round, "contributions", site, "body"] =
                    parts.as_slice()
                else {
                    return Ok(());
                };
                let (Ok(round), Ok(site)) = (round.parse(), site.parse::<SiteId>()) else {
                    return Ok(());
                };
                let at = transport.round(bundle.of.study, RoundNumber(round));
                let progress = at.progress(&site).await?;
                if progress.receipt.is_some() {
                    return Ok(());
                }
                let body = NamedTempFile::new().map_err(&file)?;
                let mut part = bundle.reader(item, start).map_err(&file)?;
                std::io::copy(&mut part, &mut body.as_file()).map_err(&file)?;
                at.put_body(&site, body.path(), progress.body_bytes).await?;
                Ok(())
            }
        }
    }
}

/// Whether a path below `/v2/` is of a study: nothing else is asked with a site's permit.
fn is_of(path: &str, study: StudyId) -> bool {
    let rest = path.strip_prefix(&format!("studies/{study}/"));
    rest.is_some_and(|rest| {
        !rest.contains("..")
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_/?=&.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::Digest;

    use super::*;

    #[test]
    fn nothing_but_the_study_is_asked_with_a_site_s_permit() {
        let study = StudyId(Digest::of(b"study"));
        for good in ["rounds/0/manifest", "rounds/0/headers?from=3", "log/consistency?from=1&to=2"]
        {
            assert!(is_of(&format!("studies/{study}/{good}"), study), "{good}");
        }
        for bad in ["../x", "rounds/%2e%2e/x", "rounds/0/\\x", "a b", "#x"] {
            assert!(!is_of(&format!("studies/{study}/{bad}"), study), "{bad}");
        }
        let other = StudyId(Digest::of(b"other"));
        for bad in [
            format!("studies/{other}/status"),
            "https://evil.example/".to_owned(),
            "/v2/aggregator".to_owned(),
            format!("studies/{study}"),
        ] {
            assert!(!is_of(&bad, study), "{bad}");
        }
    }
}
