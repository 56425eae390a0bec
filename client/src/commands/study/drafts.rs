//! `ringfence study drafts`: the studies that wait for signatures; and how far one has come, in words.

use std::path::PathBuf;

use ringfence_clock::Clock;
use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::id::StudyId;
use ringfence_site::transport::escaped;

use crate::files;
use crate::member::Server;

/// Arguments of `ringfence study drafts`.
#[derive(Debug, clap::Args)]
pub(crate) struct Drafts {
    #[command(flatten)]
    server: Server,
    /// The aggregator's public key, or the file that holds it: the token is sent to no other server.
    #[arg(long, value_name = "KEY")]
    aggregator_key: String,
    /// File with the aggregator's admin token.
    #[arg(long)]
    admin_token_file: PathBuf,
    /// Remove this one with its signatures: its digest.
    #[arg(long, value_name = "DIGEST")]
    remove: Option<StudyId>,
}

impl Drafts {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let key = files::read_aggregator_key(&self.aggregator_key)?;
        let token = files::read_token(&self.admin_token_file)?;
        let transport = self.server.connect(Clock::system())?;
        transport.meet(&key).await?;
        if let Some(study) = self.remove {
            let status = transport.remove_draft(study, &token).await?;
            println!("removed study {study}: {}", signatures(&status));
            return Ok(());
        }
        let drafts = transport.drafts(&token).await?;
        if drafts.is_empty() {
            println!("no study waits for signatures");
        }
        for status in drafts {
            println!("study {} ({}): {}", status.study, escaped(&status.name), standing(&status));
        }
        Ok(())
    }
}

/// How far the signatures of a study have come, and what becomes of it.
pub(super) fn standing(status: &DraftStatus) -> String {
    let signatures = signatures(status);
    match (status.registered, status.until) {
        (true, _) => format!("{signatures}: study {} is registered", status.study),
        (false, None) => signatures,
        (false, Some(until)) => format!(
            "{signatures}; it is registered once all have signed, until {} at the latest",
            until.utc()
        ),
    }
}

/// How many have signed, and who has not.
fn signatures(status: &DraftStatus) -> String {
    let DraftStatus { sites, signed, missing, more, .. } = status;
    if signed == sites {
        return format!("all {sites} have signed");
    }
    let mut missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    if *more > 0 {
        missing.push(format!("and {more} more"));
    }
    format!("{signed} of {sites} have signed, not yet {}", missing.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_is_missing_and_until_when() {
        use ringfence_crypto::Digest;
        use ringfence_crypto::id::UnixSeconds;
        let status = DraftStatus {
            study: StudyId(Digest::of(b"study")),
            name: "lungs".into(),
            sites: 200,
            signed: 37,
            missing: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            more: 161,
            registered: false,
            until: Some(UnixSeconds(1_800_000_000)),
        };
        let said = standing(&status);
        assert!(said.starts_with("37 of 200 have signed, not yet a, b, and 161 more; "), "{said}");
        assert!(said.ends_with("until 2027-01-15 08:00:00 UTC at the latest"), "{said}");
        let all = DraftStatus { signed: 200, registered: true, until: None, ..status };
        assert!(standing(&all).starts_with("all 200 have signed: study "), "{}", standing(&all));
    }
}
