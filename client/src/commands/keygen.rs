//! `ringfence keygen`: a site's identity.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::wire::json;
use ringfence_durable::{Readers, place};
use ringfence_keys::identity::Identity;
use zeroize::Zeroizing;

use super::study::describe::fingerprints;
use crate::files;
use crate::identity::{PASSPHRASE, has_passphrase, new_passphrase};

/// Arguments of `ringfence keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// The site's name: lower-case letters, digits and dashes.
    #[arg(long)]
    site: SiteId,
    /// Folder for SITE.identity (secret) and SITE.public.json.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Keep the secret file under a passphrase, which is asked for twice, or is in the environment
    /// variable RINGFENCE_PASSPHRASE. Whoever forgets it makes new keys, for new studies.
    #[arg(long)]
    passphrase: bool,
}

impl Keygen {
    /// Makes an identity; never overwrites one.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        files::result_folder(&self.out)?;
        let secret = self.out.join(format!("{}.identity", self.site));
        let public = self.out.join(format!("{}.public.json", self.site));
        let cannot = |path: &Path| format!("cannot write {}", path.display());
        for path in [&secret, &public] {
            place::check_new_file(path, "an identity is never overwritten, choose another folder")
                .with_context(|| cannot(path))?;
        }
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let identity = Identity::generate(self.site, &mut rng)?;
        let entry = identity.public();
        let text = match self.passphrase {
            false => identity.to_file(),
            true => Zeroizing::new(identity.to_locked_file(&new_passphrase()?, &mut rng)?),
        };
        // The check before may be of long ago: another keygen has the same names.
        ringfence_durable::create(&secret, text.as_bytes(), Readers::Owner)
            .with_context(|| cannot(&secret))?;
        ringfence_durable::create(&public, &json::pretty(&entry), Readers::Usual)
            .with_context(|| cannot(&public))?;
        println!("secret: {} (stays at the site, back it up)", secret.display());
        println!("public: {} (give it to the study's author)", public.display());
        println!("before the site signs a study, `ringfence study show` must show the same keys:");
        print!("{}", fingerprints(&entry.signature_key, &entry.kem_key.0));
        if !self.passphrase && has_passphrase() {
            println!(
                "warning: the secret file is not under a passphrase, though {PASSPHRASE} holds one: for that, remove both files and give --passphrase"
            );
        }
        Ok(())
    }
}
