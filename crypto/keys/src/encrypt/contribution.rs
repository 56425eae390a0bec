//! A site's contribution: body, envelopes and signed header; and the rules on when one may be made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::statement::{Closing, Header, HolderKeys, Manifest, Signed, SiteId, Study};
use ringfence_crypto::wire::canonical::Canonical;

use crate::check::CheckKey;
use crate::identity::Identity;
use crate::one_time_key::{EncryptError, Encryption, EncryptionContext, OneTimeKey};
use crate::quantize::{QuantizedUpdate, Value};
use crate::seal::{Purpose, SealError, seal};

/// What an envelope is bound to.
pub(crate) struct EnvelopeBinding<'a> {
    pub(crate) manifest: Digest,
    pub(crate) dealer: &'a SiteId,
    pub(crate) holder: &'a SiteId,
}

impl Canonical for EnvelopeBinding<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.manifest.encode(out);
        self.dealer.encode(out);
        self.holder.encode(out);
    }
}

/// Everything but the body, which was written as it was made.
#[derive(Debug)]
pub struct Contribution {
    /// The signed header.
    pub header: Signed<Header>,
    /// One sealed share for each key holder, in window order.
    pub envelopes: Vec<Vec<u8>>,
}

/// What a contribution is made for, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct ContributionContext<'a> {
    /// The study.
    pub study: &'a Study,
    /// The checked manifest of the round.
    pub manifest: &'a Manifest,
    /// The key holders' KEM keys.
    pub holder_keys: &'a HolderKeys,
    /// The site.
    pub identity: &'a Identity,
    /// The study's check key.
    pub check_key: &'a CheckKey,
}

/// A contribution that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ContributeError {
    /// The body could not be encrypted or written.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// A share could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Contribution {
    /// Encrypts a quantized update under a fresh key for the round of a checked manifest, shares
    /// the key among the round's holders and signs the header. The caller makes body, envelopes
    /// and header durable before any byte of them leaves.
    ///
    /// # Errors
    /// [`ContributeError`]; nothing may be sent then.
    pub fn make(
        context: ContributionContext<'_>,
        update: &QuantizedUpdate,
        rng: &mut impl CryptoRng,
        body: &mut (impl Write + Send),
    ) -> Result<Self, ContributeError> {
        let feed = |encryption: &mut Encryption<'_, u32>, body: &mut HashingWriter<'_, _>| {
            encryption.update(update.expose(), body)
        };
        Self::stream(context, rng, body, feed)
    }

    /// As [`Contribution::make`], for values that come piece by piece and are quantized on the
    /// way: `feed` gives them to the encryption in layout order, with the writer that it is given.
    /// Memory is bounded by a batch of blocks, whatever the size of the model.
    ///
    /// # Errors
    /// [`ContributeError`], or what `feed` returns; nothing may be sent then.
    pub fn stream<V: Value, W: Write + Send, E: Into<ContributeError>>(
        context: ContributionContext<'_>,
        rng: &mut impl CryptoRng,
        body: &mut W,
        feed: impl FnOnce(&mut Encryption<'_, V>, &mut HashingWriter<'_, W>) -> Result<(), E>,
    ) -> Result<Self, ContributeError> {
        let ContributionContext { study, manifest, holder_keys, identity, check_key } = context;
        let context = EncryptionContext::new(study, manifest, check_key);
        let round = context.round;
        let mut body = HashingWriter { inner: body, hasher: blake3::Hasher::new(), bytes: 0 };
        let mut encryption = OneTimeKey::generate(rng).start(context, rng)?;
        feed(&mut encryption, &mut body).map_err(Into::into)?;
        let used = encryption.finish(&mut body)?;
        let shares = used.share(&study.threshold, rng);
        let mut envelopes = Vec::with_capacity(shares.len());
        let holders = study.holders(manifest.round).zip(holder_keys.iter());
        for (share, (holder, key)) in shares.iter().zip(holders) {
            let (dealer, holder) = (identity.site(), &holder.id);
            let binding = EnvelopeBinding { manifest: round, dealer, holder };
            envelopes.push(seal(key, Purpose::Envelope, &binding, share.as_bytes(), rng)?);
        }
        let header = identity.sign(Header {
            study: manifest.study,
            round: manifest.round,
            manifest: round,
            site: identity.site().clone(),
            body_bytes: body.bytes,
            body: Digest::finish(&body.hasher),
            envelopes: envelopes.iter().map(|envelope| Digest::of(envelope)).collect(),
        });
        Ok(Self { header, envelopes })
    }
}

/// Hashes a body as it is written.
#[derive(Debug)]
pub struct HashingWriter<'a, W> {
    inner: &'a mut W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for HashingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// How a round that a site contributed to ended, by certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A set was certified: the base model of that round is spent.
    Set,
    /// An abort was certified: nothing is ever opened, the base model may be used again.
    Abort,
}

impl From<&Closing> for End {
    fn from(closing: &Closing) -> Self {
        if closing.is_abort() { Self::Abort } else { Self::Set }
    }
}

/// A contribution that would break a rule of safety.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Already contributed in this round number.
    #[error(
        "this site has already signed a header for round {0}; it signs at most one per study and round number, so only the same bytes may be sent again"
    )]
    AlreadyContributed(u32),
    /// Numbers only rise.
    #[error(
        "round {got} is not after round {last}, to which this site contributed; round numbers only rise"
    )]
    NotRising {
        /// As shown.
        got: u32,
        /// Highest contributed.
        last: u32,
    },
    /// Restored from a backup.
    #[error(
        "this site was restored from a backup and contributes to no round through {through}: it might have signed a header there already"
    )]
    Abstains {
        /// Last round of abstention.
        through: u32,
    },
    /// An earlier contribution's round has no certificate yet.
    #[error(
        "this site contributed to round {0} and holds no certificate of how it ended; wait for it, or a set and the same set without one site could both be opened"
    )]
    NoCertificate(u32),
    /// A second set on the same base model.
    #[error(
        "an update from this base model was contributed in {study} round {round}, which did not end in a certified abort; a second opened set on one base model would reveal single updates by subtraction; apply the mean first"
    )]
    BaseModelSpent {
        /// Digest of that study.
        study: Digest,
        /// Round there.
        round: u32,
    },
}

/// One durable record of a contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Digest of the study.
    pub study: Digest,
    /// Round number.
    pub round: u32,
    /// Digest of the base model itself (not keyed: it holds across studies).
    pub base_model: Digest,
    /// How the round ended, once this site holds the certificate.
    pub end: Option<End>,
}

/// The rules that keep "at most one opened set per base model", over a site's durable records.
#[derive(Clone, Debug, Default)]
pub struct Contributor {
    rounds: BTreeMap<(Digest, u32), (Digest, Option<End>)>,
    spent: BTreeMap<Digest, BTreeSet<(Digest, u32)>>,
    abstains: BTreeMap<Digest, u32>,
}

impl Contributor {
    /// From what the site has on disk.
    pub fn restore(records: impl IntoIterator<Item = Record>) -> Self {
        let mut contributor = Self::default();
        records.into_iter().for_each(|record| contributor.record(record));
        contributor
    }

    /// Contributes to no round of a study through this one: after a restore from a backup, which
    /// may have forgotten a header. The number is that of
    /// [`Holder::restore`](crate::holder::Holder::restore).
    pub fn abstain(&mut self, study: Digest, through: u32) {
        let known = self.abstains.entry(study).or_insert(through);
        *known = through.max(*known);
    }

    /// Whether a header may be signed for this study, round number and base model.
    ///
    /// # Errors
    /// [`RuleError`] names the rule and the round that stands against it.
    pub fn may_contribute(
        &self,
        study: Digest,
        round: u32,
        base_model: Digest,
    ) -> Result<(), RuleError> {
        let of_study = || self.rounds.range((study, 0)..=(study, u32::MAX));
        if let Some(((_, last), _)) = of_study().next_back() {
            match round.cmp(last) {
                std::cmp::Ordering::Equal => return Err(RuleError::AlreadyContributed(round)),
                std::cmp::Ordering::Less => {
                    return Err(RuleError::NotRising { got: round, last: *last });
                }
                std::cmp::Ordering::Greater => {}
            }
        }
        if let Some(through) = self.abstains.get(&study).filter(|through| round <= **through) {
            return Err(RuleError::Abstains { through: *through });
        }
        if let Some(((_, open), _)) = of_study().find(|(_, (_, end))| end.is_none()) {
            return Err(RuleError::NoCertificate(*open));
        }
        match self.spent.get(&base_model).and_then(BTreeSet::first) {
            Some((study, round)) => Err(RuleError::BaseModelSpent { study: *study, round: *round }),
            None => Ok(()),
        }
    }

    /// Takes note of a record that is on disk (or of its end, once certified).
    pub fn record(&mut self, record: Record) {
        let Record { study, round, base_model, end } = record;
        self.rounds.insert((study, round), (base_model, end));
        let rounds = self.spent.entry(base_model).or_default();
        match end {
            Some(End::Abort) => rounds.remove(&(study, round)),
            Some(End::Set) | None => rounds.insert((study, round)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(study: &[u8], round: u32, base: &[u8], end: Option<End>) -> Record {
        Record { study: Digest::of(study), round, base_model: Digest::of(base), end }
    }

    #[test]
    fn one_opened_set_per_base_model() {
        let (study, base) = (Digest::of(b"s"), Digest::of(b"w0"));
        let mut contributor = Contributor::default();
        assert_eq!(contributor.may_contribute(study, 0, base), Ok(()));
        contributor.record(record(b"s", 0, b"w0", None));
        let again = contributor.may_contribute(study, 0, base);
        assert_eq!(again, Err(RuleError::AlreadyContributed(0)));
        let next = contributor.may_contribute(study, 1, Digest::of(b"w1"));
        assert_eq!(next, Err(RuleError::NoCertificate(0)));

        let mut aborted = contributor.clone();
        aborted.record(record(b"s", 0, b"w0", Some(End::Abort)));
        assert_eq!(aborted.may_contribute(study, 1, base), Ok(()));

        contributor.record(record(b"s", 0, b"w0", Some(End::Set)));
        let same = contributor.may_contribute(study, 1, base);
        assert_eq!(same, Err(RuleError::BaseModelSpent { study, round: 0 }));
        assert_eq!(contributor.may_contribute(study, 1, Digest::of(b"w1")), Ok(()));
        contributor.record(record(b"s", 3, b"w1", Some(End::Set)));
        let falling = contributor.may_contribute(study, 2, Digest::of(b"w2"));
        assert_eq!(falling, Err(RuleError::NotRising { got: 2, last: 3 }));
    }

    #[test]
    fn a_site_restored_from_a_backup_abstains() {
        let (study, base) = (Digest::of(b"s"), Digest::of(b"w1"));
        let mut contributor = Contributor::restore([record(b"s", 0, b"w0", Some(End::Set))]);
        contributor.abstain(study, 3);
        contributor.abstain(study, 2);
        for round in 1..=3 {
            let abstains = contributor.may_contribute(study, round, base);
            assert_eq!(abstains, Err(RuleError::Abstains { through: 3 }));
        }
        assert_eq!(contributor.may_contribute(study, 4, base), Ok(()));
        assert_eq!(contributor.may_contribute(Digest::of(b"other"), 0, base), Ok(()));
    }

    #[test]
    fn a_second_study_on_the_same_model_is_refused() {
        let contributor = Contributor::restore([record(b"s", 0, b"w0", Some(End::Set))]);
        let other = contributor.may_contribute(Digest::of(b"other"), 0, Digest::of(b"w0"));
        assert!(matches!(other, Err(RuleError::BaseModelSpent { round: 0, .. })));
    }
}
