//! Contributions and openings at both levels: with full cryptography, or as stubs that keep the
//! statements and leave the ciphertexts out.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::log::LogHash;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, Header, HexBytes, HolderKey, HolderKeys, Manifest, Opening,
};
use ringfence_keys::duties::holder::{CertifiedSet, open_share_sum};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::open::{CheckedPart, OpenedSum, OpeningContext, SumContext};
use ringfence_keys::round_secret::RoundSecret;
use ringfence_keys::share::envelope::{Complaint, EnvelopeError, open_envelope};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::seal::{Purpose, SealError};
use ringfence_keys::share::share::Share;
use ringfence_keys::update::quantize::QuantizedUpdate;

use ringfence_testkit::{CLIP, Parties};

/// First byte of a stub envelope that opens. A nonce follows, and last the digest of the key that
/// it is sealed to.
const GOOD: u8 = 1;

/// The secret of a round, and its public half.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) secret: RoundSecret,
    pub(crate) key: HexBytes,
}

/// How contributions and openings are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Signed statements and the machines; bodies in the clear, envelopes and openings are stubs.
    Statements,
    /// Everything: encryption, sharing, sealing, opening.
    Full,
}

/// How contributions and openings are made, by whose keys.
pub(crate) struct Cipher {
    pub(crate) level: Level,
    pub(crate) parties: Arc<Parties>,
}

/// A contribution as it travels.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) header: Signed<Header>,
    pub(crate) envelopes: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// What a contribution is made of.
pub(crate) struct Dealing<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) holder_keys: &'a HolderKeys,
    pub(crate) site: usize,
    pub(crate) values: [u32; 2],
    /// Holders to whom broken envelopes are dealt.
    pub(crate) broken: usize,
}

/// A key holder, with what it opens its envelopes of a round with.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'a> {
    pub(crate) holder: usize,
    /// Its round's secret; none for its long-term one.
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) lies: bool,
}

impl<'a> Opener<'a> {
    pub(crate) fn honest(holder: usize, secret: Option<&'a Secret>) -> Self {
        Self { holder, secret, lies: false }
    }
}

impl Cipher {
    /// A contribution of two values, with envelopes for the holders in `broken` that do not open.
    pub(crate) fn contribute(&self, dealing: Dealing<'_>, rng: &mut ChaCha20Rng) -> Posted {
        let Dealing { manifest, holder_keys, site, values, broken } = dealing;
        let (level, parties, study) = (self.level, &*self.parties, &*self.parties.study);
        let (mut envelopes, body, mut header) = match level {
            Level::Statements => {
                let mut stub = |key: &HolderKey| {
                    let key = key.key().unwrap();
                    let nonce = rng.next_u64().to_le_bytes();
                    [&[GOOD], nonce.as_slice(), &Digest::of(&key.0).0].concat()
                };
                let envelopes: Vec<Vec<u8>> = holder_keys.iter().map(&mut stub).collect();
                let body: Vec<u8> =
                    values.iter().flat_map(|value| u64::from(*value).to_le_bytes()).collect();
                let header = parties.header(manifest, site, Digest::of(&body), Vec::new());
                (envelopes, body, header.statement)
            }
            Level::Full => {
                // Exact, see `CLIP`: the quantizer gives back these very integers.
                let update = values.map(|value| value as f32 - CLIP);
                let quantized =
                    QuantizedUpdate::quantize(&update, &study.layout, &study.packing, rng).unwrap();
                assert_eq!(quantized.expose(), values, "the oracle's values are quantized exactly");
                let context = ContributionContext {
                    study,
                    manifest,
                    holder_keys,
                    identity: &parties.identities[site],
                    check_key: &parties.check_key,
                };
                let mut body = Vec::new();
                let made = Contribution::make(context, &quantized, rng, &mut body).unwrap();
                (made.envelopes, body, made.header.statement)
            }
        };
        envelopes.iter_mut().take(broken).for_each(|envelope| envelope[0] ^= GOOD);
        header.envelopes = envelopes.iter().map(|envelope| Digest::of(envelope)).collect();
        let header = parties.identities[site].sign(header);
        Posted { header, envelopes, body }
    }

    /// Adds a body into the sum.
    pub(crate) fn add(&self, sum: &mut Vec<u8>, body: &[u8]) {
        if sum.is_empty() {
            sum.resize(body.len(), 0);
        }
        match self.level {
            Level::Full => add_words(sum, body, self.parties.study.packing.wire_bits).unwrap(),
            Level::Statements => {
                for (sum, word) in sum.chunks_mut(8).zip(numbers(body)) {
                    let total = u64::from_le_bytes((&*sum).try_into().unwrap()) + word;
                    sum.copy_from_slice(&total.to_le_bytes());
                }
            }
        }
    }

    /// The share that a holder finds in its envelope of a contribution, with a round's secret or
    /// its long-term one.
    fn share(&self, by: Opener<'_>, posted: &Posted) -> Result<Share, EnvelopeError> {
        let (parties, secret) = (&self.parties, by.secret.map(|secret| &secret.secret));
        let header = &posted.header.statement;
        let identity = &parties.identities[by.holder];
        let offset = parties.study.holder_offset(header.round, identity.site()).unwrap();
        open_envelope(identity, secret, &parties.study, header, &posted.envelopes[offset])
    }

    /// What a holder complains about in a contribution.
    pub(crate) fn complaint(&self, by: Opener<'_>, posted: &Posted) -> Option<Complaint> {
        if self.level == Level::Full {
            return match self.share(by, posted) {
                Err(EnvelopeError::Bad(complaint)) => Some(complaint),
                Err(EnvelopeError::Wrong(wrong)) => panic!("{wrong}"),
                Ok(_) => None,
            };
        }
        (!self.envelope_opens(by, posted)).then(|| self.made_up(posted))
    }

    /// A complaint without cause.
    pub(crate) fn made_up(&self, posted: &Posted) -> Complaint {
        let dealer = posted.header.statement.site.clone();
        let source = SealError::Open { purpose: Purpose::Envelope, expected: 0, got: 0 };
        Complaint::Seal { dealer, source }
    }

    /// Whether a holder can open its envelope of a contribution.
    pub(crate) fn envelope_opens(&self, by: Opener<'_>, posted: &Posted) -> bool {
        if self.level == Level::Full {
            return self.share(by, posted).is_ok();
        }
        let (header, study) = (&posted.header.statement, &self.parties.study);
        let site = &study.roster[by.holder];
        let offset = study.holder_offset(header.round, &site.id).unwrap();
        let key = by.secret.map_or(&site.kem_key, |secret| &secret.key);
        let envelope = &posted.envelopes[offset];
        envelope.first() == Some(&GOOD) && envelope.ends_with(&Digest::of(&key.0).0)
    }

    /// A holder's opening of a certified set; none when an envelope of the set does not open. A
    /// liar answers for another sum of shares: the first one, as often as the set has members.
    pub(crate) fn open(
        &self,
        by: Opener<'_>,
        (certificate, set): (&Certificate, &CertifiedSet<'_>),
        posted: &[Arc<Posted>],
        rng: &mut ChaCha20Rng,
    ) -> Option<OpeningFrame> {
        let members: Vec<&Posted> = set
            .sites()
            .map(|(_, header)| posted.iter().find(|posted| posted.header.id() == header))
            .map(|posted| posted.map(Arc::as_ref))
            .collect::<Option<_>>()?;
        if self.level == Level::Statements {
            let opens = members.iter().all(|member| self.envelope_opens(by, member));
            return opens.then(|| self.stub(by, certificate));
        }
        let shares: Vec<_> = members
            .iter()
            .map(|member| {
                let of = if by.lies { members[0] } else { member };
                Some((member.header.statement.site.clone(), self.share(by, of).ok()?))
            })
            .collect::<Option<_>>()?;
        let identity = &self.parties.identities[by.holder];
        Some(open_share_sum(identity, &self.parties.study, set, &shares, rng).unwrap())
    }

    /// An opening without share and keys: its content names the set that it answers for.
    pub(crate) fn stub(&self, by: Opener<'_>, certificate: &Certificate) -> OpeningFrame {
        let closing = &certificate.closing;
        let identity = &self.parties.identities[by.holder];
        let content = if by.lies { b"lie".to_vec() } else { closing.id().0.0.to_vec() };
        let statement = identity.sign(Opening {
            manifest: closing.statement.manifest,
            closing: closing.id(),
            holder: identity.site().clone(),
            content: Digest::of(&content),
            recipients: LogHash::empty(),
            plaintext: Digest::of(&content),
        });
        OpeningFrame { statement, content, keys: Vec::new() }
    }

    /// The opened sum at one recipient that has checked the certificate.
    pub(crate) fn recover(
        &self,
        recipient: usize,
        (manifest, certificate): (&Manifest, &Certificate),
        (frames, posted): (&[Arc<OpeningFrame>], &[Arc<Posted>]),
        sum: &[u8],
    ) -> Result<Vec<u64>, String> {
        let (parties, study) = (&*self.parties, &*self.parties.study);
        let closing = &certificate.closing;
        if closing.statement.sum != Some(Digest::of(sum)) {
            return Err("not the sum that the closing names".into());
        }
        if self.level == Level::Statements {
            let needed = usize::from(study.threshold.opening);
            let truths = frames.iter().filter(|frame| frame.content == closing.id().0.0).count();
            let lies = frames.len() - truths;
            return match frames.len() >= needed + 2 * lies {
                true => Ok(numbers(sum).collect()),
                false => Err(format!("{truths} openings agree and {lies} do not")),
            };
        }
        let (round, id) = (manifest.round, manifest.id());
        let context = OpeningContext { study, round, manifest: id, closing: closing.id() };
        let identity = &parties.identities[recipient];
        let openings: Vec<_> = frames
            .iter()
            .map(|frame| {
                let frame = OpeningFrame::clone(frame);
                let part = frame.check(study).unwrap().part(recipient).unwrap();
                let part = CheckedPart::check(identity, context, part).unwrap();
                part.unseal().map_err(|error| error.to_string())
            })
            .collect::<Result<_, _>>()?;
        let keys = KeySum::reconstruct(&openings, &study.threshold).map_err(|e| e.to_string())?;
        let sites = closing.statement.included.len();
        let headers = closing
            .statement
            .included
            .iter()
            .map(|entry| posted.iter().find(|posted| posted.header.id() == entry.header))
            .map(|posted| posted.map(|posted| &posted.header.statement))
            .collect::<Option<Vec<_>>>()
            .ok_or("a header of the set is not shown")?;
        let (check_key, wire_bits) = (&parties.check_key, study.packing.wire_bits);
        let check = check_key.sum_of_headers(headers, wire_bits).map_err(|e| e.to_string())?;
        let (manifest, keys, check) = (id, &keys, &check);
        let context = SumContext { study, manifest, sites, keys, check, check_key };
        OpenedSum::open(context, &mut &sum[..])
            .map(|opened| opened.sums().to_vec())
            .map_err(|error| error.to_string())
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()))
}
