//! `ringfence keygen`: a site's identity.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, bail};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::wire::json;
use ringfence_durable::Readers;
use ringfence_keys::identity::Identity;

use super::study::describe::fingerprints;
use crate::files;

/// Arguments of `ringfence keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// The site's name: lower-case letters, digits and dashes.
    #[arg(long)]
    site: SiteId,
    /// Folder for SITE.identity (secret) and SITE.public.json.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

impl Keygen {
    /// Makes an identity; never overwrites one.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        files::make_folder(&self.out)?;
        let secret = self.out.join(format!("{}.identity", self.site));
        let public = self.out.join(format!("{}.public.json", self.site));
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let identity = Identity::generate(self.site, &mut rng)?;
        let text = identity.to_file();
        match ringfence_durable::create(&secret, text.as_bytes(), Readers::Owner) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "{} exists; an identity is never overwritten, choose another folder",
                secret.display()
            ),
            made => made.with_context(|| format!("cannot write {}", secret.display()))?,
        }
        let entry = identity.public();
        files::write(&public, &json::pretty(&entry))?;
        println!("secret: {} (stays at the site, back it up)", secret.display());
        println!("public: {} (give it to the study's author)", public.display());
        println!("before the site signs a study, `ringfence study show` must show the same keys:");
        print!("{}", fingerprints(&entry.signature_key, &entry.kem_key.0));
        Ok(())
    }
}
