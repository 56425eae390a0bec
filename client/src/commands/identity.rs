//! `ringfence keygen`, and reading what it wrote.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ringfence_crypto::statement::{Site, SiteId};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use ringfence_keys::identity::Identity;
use zeroize::Zeroizing;

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
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (secret, public) = generate(self.site, &self.out)?;
        println!("secret: {} (stays at the site, back it up)", secret.display());
        println!("public: {} (give it to the study's author)", public.display());
        Ok(())
    }
}

/// Makes an identity in `folder`; never overwrites one.
pub(crate) fn generate(site: SiteId, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let secret = folder.join(format!("{site}.identity"));
    let public = folder.join(format!("{site}.public.json"));
    let mut rng = ringfence_keys::system_rng().context("no randomness")?;
    let identity = Identity::generate(site, &mut rng)?;
    let mut file = owner_only(&secret)?;
    file.write_all(identity.to_file().as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", secret.display()))?;
    super::write(&public, &json::pretty(&identity.public()))?;
    Ok((secret, public))
}

/// A new file that only its owner may read.
fn owner_only(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(
                "{} exists; an identity is never overwritten, choose another folder",
                path.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Reads a secret identity file.
pub(crate) fn read_identity(path: &Path) -> anyhow::Result<Identity> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(|| format!("cannot read the identity {}", path.display()))?;
    Identity::from_file(&text).with_context(|| path.display().to_string())
}

/// Reads a public site file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<Site> {
    let bytes = super::read(path)?;
    json::parse(&bytes, MAX_MESSAGE, "public site file").with_context(|| path.display().to_string())
}
