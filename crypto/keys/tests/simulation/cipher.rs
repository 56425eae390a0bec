//! Contributions and openings at both levels: with full cryptography, or as stubs that keep the
//! statements and leave the ciphertexts out.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Certificate, HexBytes, HolderKeys, Manifest, Opening, Study};
use ringfence_crypto::api::OpeningFrame;
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::duties::holder::{CertifiedSet, open_share_sum};
use ringfence_keys::share::envelope::{EnvelopeError, open_envelope};
use ringfence_keys::open::{OpenedSum, OpeningContext, unseal};
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::round_secret::RoundSecret;
use ringfence_keys::share::share::Share;

use crate::common::{CLIP, Parties};
use crate::world::{Level, Posted};

/// First byte of a stub envelope that opens. A nonce follows, and last the digest of the key that
/// it is sealed to.
const GOOD: u8 = 1;

/// The secret of a round, and its public half.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) secret: RoundSecret,
    pub(crate) key: HexBytes,
}

/// A contribution of these two values, with envelopes for the holders in `broken` that do not open.
pub(crate) fn contribute(
    level: Level,
    (parties, key): (&Parties, &CheckKey),
    (manifest, holder_keys): (&Manifest, &HolderKeys),
    site: usize,
    values: [u32; 2],
    broken: usize,
    rng: &mut ChaCha20Rng,
) -> Posted {
    let study = &*parties.study;
    let (mut envelopes, body, body_digest) = match level {
        Level::Statements => {
            let mut stub = |key: &HexBytes| {
                let nonce = rng.next_u64().to_le_bytes();
                [&[GOOD], nonce.as_slice(), &Digest::of(&key.0).0].concat()
            };
            let envelopes: Vec<Vec<u8>> = holder_keys.iter().map(&mut stub).collect();
            let body: Vec<u8> =
                values.iter().flat_map(|value| u64::from(*value).to_le_bytes()).collect();
            let digest = Digest::of(&body);
            (envelopes, body, digest)
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
                check_key: key,
            };
            let mut body = Vec::new();
            let made = Contribution::make(context, &quantized, rng, &mut body).unwrap();
            if broken == 0 {
                return Posted { header: made.header, envelopes: made.envelopes, body };
            }
            (made.envelopes, body, made.header.statement.body)
        }
    };
    envelopes.iter_mut().take(broken).for_each(|envelope| envelope[0] ^= GOOD);
    let digests = envelopes.iter().map(|envelope| Digest::of(envelope)).collect();
    let header = parties.header(manifest, site, body_digest, digests);
    Posted { header, envelopes, body }
}

/// Adds a body into the sum.
pub(crate) fn add(level: Level, study: &Study, sum: &mut Vec<u8>, body: &[u8]) {
    if sum.is_empty() {
        sum.resize(body.len(), 0);
    }
    match level {
        Level::Full => add_words(sum, body, study.packing.wire_bits).unwrap(),
        Level::Statements => {
            for (sum, word) in sum.chunks_mut(8).zip(numbers(body)) {
                let total = u64::from_le_bytes((&*sum).try_into().unwrap()) + word;
                sum.copy_from_slice(&total.to_le_bytes());
            }
        }
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()))
}

/// The share that a holder finds in its envelope of a contribution, with a round's secret or its
/// long-term one.
fn share(
    parties: &Parties,
    (holder, secret): (usize, Option<&Secret>),
    posted: &Posted,
) -> Result<Share, EnvelopeError> {
    let secret = secret.map(|secret| &secret.secret);
    let header = &posted.header.statement;
    let identity = &parties.identities[holder];
    let offset = parties.study.holder_offset(header.round, identity.site()).unwrap();
    open_envelope(identity, secret, &parties.study, header, &posted.envelopes[offset])
}

/// Whether a holder can open its envelope of a contribution.
pub(crate) fn envelope_opens(
    level: Level,
    parties: &Parties,
    (holder, secret): (usize, Option<&Secret>),
    posted: &Posted,
) -> bool {
    if level == Level::Full {
        return share(parties, (holder, secret), posted).is_ok();
    }
    let header = &posted.header.statement;
    let site = &parties.study.roster[holder];
    let offset = parties.study.holder_offset(header.round, &site.id).unwrap();
    let key = secret.map_or(&site.kem_key, |secret| &secret.key);
    let envelope = &posted.envelopes[offset];
    envelope.first() == Some(&GOOD) && envelope.ends_with(&Digest::of(&key.0).0)
}

/// A holder's opening of a certified set; none when an envelope of the set does not open. A liar
/// answers for another sum of shares: the first one, as often as the set has members.
pub(crate) fn open(
    level: Level,
    parties: &Parties,
    (holder, secret): (usize, Option<&Secret>),
    (certificate, set): (&Certificate, &CertifiedSet<'_>),
    posted: &[Arc<Posted>],
    lies: bool,
    rng: &mut ChaCha20Rng,
) -> Option<OpeningFrame> {
    let members: Vec<&Posted> = set
        .sites()
        .map(|(_, header)| posted.iter().find(|posted| posted.header.digest() == header))
        .map(|posted| posted.map(Arc::as_ref))
        .collect::<Option<_>>()?;
    if level == Level::Statements {
        let opens = |member: &&Posted| envelope_opens(level, parties, (holder, secret), member);
        let opens = members.iter().all(opens);
        return opens.then(|| stub(parties, holder, certificate, lies));
    }
    let shares: Vec<_> = members
        .iter()
        .map(|member| {
            let of = if lies { members[0] } else { member };
            Some((member.header.statement.site.clone(), share(parties, (holder, secret), of).ok()?))
        })
        .collect::<Option<_>>()?;
    let identity = &parties.identities[holder];
    Some(open_share_sum(identity, &parties.study, set, &shares, rng).unwrap())
}

/// An opening without content: its sealed bytes name the set that it answers for.
pub(crate) fn stub(
    parties: &Parties,
    holder: usize,
    certificate: &Certificate,
    lies: bool,
) -> OpeningFrame {
    let closing = &certificate.closing;
    let identity = &parties.identities[holder];
    let sealed = if lies { b"lie".to_vec() } else { closing.digest().0.to_vec() };
    let statement = identity.sign(Opening {
        manifest: closing.statement.manifest,
        closing: closing.digest(),
        holder: identity.site().clone(),
        sealed: Digest::of(&sealed),
        plaintext: Digest::of(&sealed),
    });
    OpeningFrame { statement, sealed }
}

/// The opened sum at one recipient that has checked the certificate.
pub(crate) fn recover(
    level: Level,
    (parties, key): (&Parties, &CheckKey),
    recipient: usize,
    manifest: &Manifest,
    certificate: &Certificate,
    frames: &[Arc<OpeningFrame>],
    sum: &[u8],
) -> Result<Vec<u64>, String> {
    let study = &*parties.study;
    let closing = &certificate.closing;
    if closing.statement.sum != Some(Digest::of(sum)) {
        return Err("not the sum that the closing names".into());
    }
    if level == Level::Statements {
        let needed = usize::from(study.threshold.opening);
        let truths = frames.iter().filter(|frame| frame.sealed == closing.digest().0).count();
        let lies = frames.len() - truths;
        return match frames.len() >= needed + 2 * lies {
            true => Ok(numbers(sum).collect()),
            false => Err(format!("{truths} openings agree and {lies} do not")),
        };
    }
    let (round, digest) = (manifest.round, manifest.digest());
    let context = OpeningContext { study, round, manifest: digest, closing: closing.digest() };
    let identity = &parties.identities[recipient];
    let openings: Vec<_> = frames
        .iter()
        .map(|frame| unseal(identity, context, frame).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let keys = KeySum::reconstruct(&openings, &study.threshold).map_err(|e| e.to_string())?;
    let sites = closing.statement.included.len();
    OpenedSum::open(study, &digest, sites, &keys, key, &mut &sum[..])
        .map(|opened| opened.sums().to_vec())
        .map_err(|error| error.to_string())
}
