//! A site that breaks the protocol on purpose, for demos and tests.
//!
//! It is made of what every site has: its own keys, the study, the public transport. What it does
//! beside its misdeed, the honest [`Site`] does for it. The site's own crate knows nothing of it.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::{EnvelopeFrame, OpeningContext, opening_words};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, pack, unpack, word_modulus};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Header, HolderKeys, Manifest, Study, Subject};
use ringfence_crypto::wire::frame;
use ringfence_keys::encrypt::check::{CheckBinding, CheckWords};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::identity::Identity;
use ringfence_keys::open::seal_opening;
use ringfence_keys::share::dealt::dealt_bytes;
use ringfence_keys::share::envelope::{EnvelopeBinding, seal_envelope};
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_keys::update::weigh::weigh;
use ringfence_site::Site;
use ringfence_site::transport::Openings;

/// Coefficients in a row that a spoiling site adds rubbish to. In a single one the noise of the
/// honest sites may hide it, and then it does no harm.
pub const SPOILED: usize = 64;

/// Noise that a spoiling site adds, or half the scale where that is less.
const NOISE: u64 = 28_000_000;

/// A member of a study that does not keep to the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Liar<'a> {
    /// What it does as it should.
    pub site: &'a Site,
    /// Its secrets.
    pub identity: &'a Identity,
}

/// How a contribution breaks the protocol; the default does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misdeed {
    /// What is added to the body.
    pub rubbish: Option<Rubbish>,
    /// Other holders, the first of the window, that are dealt shares of no key.
    pub wrong_shares: usize,
    /// Other holders, the next ones, that are dealt bytes which are no share.
    pub no_shares: usize,
    /// Whether the header's check words are those of another body.
    pub wrong_check_words: bool,
}

/// What is added to [`SPOILED`] coefficients in a row of a body's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rubbish {
    /// Noise beyond any bound, from this coefficient on.
    Noise(usize),
    /// About half the modulus: the values themselves are beyond their limits.
    Huge(usize),
}

/// A contribution that was sent with a misdeed.
#[derive(Debug)]
pub struct Sent {
    /// What the site quantized, before its body was spoiled.
    pub quantized: QuantizedUpdate,
    /// The signed header.
    pub header: Signed<Header>,
    /// Bytes of body and envelopes.
    pub bytes: u64,
}

impl Liar<'_> {
    /// Joins a round and contributes, with a misdeed. Digests, check words and signature are those of
    /// what is sent: nothing but the misdeed is wrong.
    ///
    /// # Errors
    /// When the aggregator refuses or cannot be reached.
    pub async fn contribute(
        &self,
        round: RoundNumber,
        update: &[f32],
        misdeed: Misdeed,
    ) -> anyhow::Result<Sent> {
        let study = self.site.study();
        let joined = self.site.join(round).await?;
        let manifest = joined.manifest();
        let holder_keys = self.holder_keys(manifest).await?;
        let check_key = &self.identity.check_key(study)?;
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let update = weigh(update, study, self.site.id())?;
        let quantized =
            QuantizedUpdate::quantize(&update, &study.layout, &study.packing, &mut rng)?;
        let (identity, holder_keys) = (self.identity, &holder_keys);
        let spent = None;
        let context =
            ContributionContext { study, manifest, holder_keys, identity, check_key, spent };
        let mut body = Vec::new();
        let made = Contribution::make(context, &quantized, &mut rng, &mut body)?;
        let (mut header, mut envelopes) = (made.header.statement, made.envelopes);
        if let Some(rubbish) = misdeed.rubbish {
            spoil(study, rubbish, &mut body);
        }
        self.deal(context, misdeed, &mut envelopes, &mut rng)?;
        header.body = Digest::of(&body);
        header.envelopes = envelopes.iter().map(|envelope| Digest::of(envelope)).collect();
        let words = match misdeed.wrong_check_words {
            true => CheckWords::zero(study.packing.wire_bits),
            false => check_key.words_of(study, header.manifest, &mut body.as_slice())?,
        };
        let (manifest, body_digest) = (header.manifest, header.body);
        let binding = CheckBinding { manifest, site: identity.site(), body: body_digest };
        header.check = check_key.seal_words(binding, &words);
        let header = identity.sign(header);

        let at = self.site.transport().round(self.site.study_id(), round);
        at.put_header(&header).await?;
        let envelopes = frame::encode(&EnvelopeFrame { envelopes })?;
        let bytes = (envelopes.len() + body.len()) as u64;
        at.put_envelopes(identity.site(), envelopes).await?;
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(&body)?;
        let progress = at.put_body(identity.site(), file.path(), 0).await?;
        ensure!(progress.receipt.is_some(), "the aggregator has given no receipt");
        Ok(Sent { quantized, header, bytes })
    }

    /// Reviews as a key holder should, endorses nothing, and opens words that are no sum of its
    /// shares once the set is certified.
    ///
    /// # Errors
    /// When the round is not certified within the site's patience, or the aggregator refuses.
    pub async fn lie(&self, round: RoundNumber) -> anyhow::Result<()> {
        let (site, study) = (self.site, self.site.study());
        let own = |status: &RoundStatus| status.reviewed.contains(&study.roster, site.id());
        // What an honest holder does after its review is left out.
        tokio::select! {
            biased;
            reviewed = self.once(round, own) => drop(reviewed?),
            held = site.hold(round) => bail!("it has opened as it should already: {held:?}"),
        }
        let certified = |status: &RoundStatus| {
            matches!(status.state, RoundState::Certified | RoundState::Opened | RoundState::Aborted)
        };
        self.once(round, certified).await?;
        let at = self.site.transport().round(site.study_id(), round);
        let closing = at.closing().await?;
        if closing.statement.is_abort() {
            return Ok(());
        }
        let (manifest, subject) = (closing.statement.manifest, Subject::Sum);
        let words = opening_words(&study.threshold, subject, closing.statement.included.len());
        let closing = closing.id();
        let context = OpeningContext { study, round, manifest, closing, subject, words };
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let frame = seal_opening(self.identity, context, &residues(words, &mut rng), &mut rng)?;
        Ok(at.put_opening(Openings::Sum, &frame).await?)
    }

    /// The round's status once it is `ready`.
    async fn once(
        &self,
        round: RoundNumber,
        ready: impl Fn(&RoundStatus) -> bool,
    ) -> anyhow::Result<RoundStatus> {
        let at = self.site.transport().round(self.site.study_id(), round);
        let mut status = at.status().await?;
        let clock = self.site.clock();
        let review = Duration::from_secs(self.site.study().review_seconds.into());
        let longest = status.deadline.since(clock.now()) + review + self.site.patience();
        let end = clock.moment().after(longest);
        while !ready(&status) {
            let left = end.since(clock.moment());
            ensure!(!left.is_zero(), "round {round} is still {:?}", status.state);
            status = at.changed(status.version, left).await?;
        }
        Ok(status)
    }

    async fn holder_keys(&self, manifest: &Manifest) -> anyhow::Result<HolderKeys> {
        let named = manifest.holders.iter().zip(&manifest.holder_keys);
        let mut keys = Vec::new();
        for (holder, _) in named.filter(|(_, key)| key.is_some()) {
            let study = self.site.study_id();
            keys.push(self.site.transport().round_keys(study, holder, manifest.round).await?);
        }
        Ok(HolderKeys::resolve(self.site.study(), manifest, &keys)?)
    }

    /// Puts what is no share of the key in the place of some envelopes.
    fn deal(
        &self,
        context: ContributionContext<'_>,
        misdeed: Misdeed,
        envelopes: &mut [Vec<u8>],
        rng: &mut impl CryptoRng,
    ) -> anyhow::Result<()> {
        let ContributionContext { study, manifest, holder_keys, .. } = context;
        let Misdeed { wrong_shares, no_shares, .. } = misdeed;
        let dealer: &SiteId = self.site.id();
        let window = study.holders(manifest.round).zip(holder_keys.iter()).enumerate();
        let others = window.zip(envelopes).filter(|((_, (holder, _)), _)| holder.id != *dealer);
        for (place, ((offset, (holder, key)), envelope)) in others.enumerate() {
            if place < wrong_shares {
                let bytes = residues(dealt_bytes(&study.threshold, offset) / 8, rng);
                let holder = &holder.id;
                let binding = EnvelopeBinding { manifest: manifest.id(), dealer, holder };
                let key = key.key().context("the holder has no key to seal to")?;
                *envelope = seal_envelope(key, binding, &bytes, rng)?;
            } else if place < wrong_shares + no_shares {
                rng.fill_bytes(envelope);
            }
        }
        Ok(())
    }
}

/// So many residues, as bytes.
fn residues(words: usize, rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut bytes = vec![0; words * 8];
    rng.fill_bytes(&mut bytes);
    // Every number below 2^63 is one.
    let (numbers, _) = bytes.as_chunks_mut::<8>();
    numbers.iter_mut().for_each(|[.., highest]| *highest >>= 1);
    bytes
}

/// Adds rubbish to some coefficients of a body.
fn spoil(study: &Study, rubbish: Rubbish, body: &mut [u8]) {
    let wire_bits = study.packing.wire_bits;
    let modulus = word_modulus(wire_bits);
    let noise = NOISE.min(1 << (study.packing.delta_bits - 1));
    let noise = (u128::from(noise) * u128::from(modulus) / u128::from(MODULUS)) as u64;
    let (first, amount) = match rubbish {
        Rubbish::Noise(first) => (first, noise.max(1)),
        Rubbish::Huge(first) => (first, modulus / 2),
    };
    let mut words = [0; RING_DEGREE];
    let Some(block) = body.get_mut(..block_bytes(wire_bits)) else { return };
    unpack(block, wire_bits, words.as_mut_slice());
    for word in words.iter_mut().skip(first).take(SPOILED) {
        *word = ((u128::from(*word) + u128::from(amount)) % u128::from(modulus)) as u64;
    }
    pack(&words, wire_bits, block);
}
