//! Contributions, answers and openings at both levels: with full cryptography, or as stubs that keep
//! statements, shares and codewords and leave the ciphertexts out. What becomes of them is in
//! `decode.rs`.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::Answer;
use ringfence_crypto::id::{FreezeId, SiteId};
use ringfence_crypto::log::LogHash;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, to_word};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    CHECK_BYTES, Closing, Dispute, Header, HexBytes, HolderKey, HolderKeys, Manifest, Opening,
    Subject,
};
use ringfence_keys::duties::disputes::{
    CertifiedDispute, CertifiedVerdict, open_functionals, open_keys,
};
use ringfence_keys::duties::holder::{CertifiedSet, open_share_sum};
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::round_secret::RoundSecret;
use ringfence_keys::share::challenge::Challenge;
use ringfence_keys::share::dealt::DealtShare;
use ringfence_keys::share::envelope::{EnvelopeError, open_envelope};
use ringfence_keys::update::quantize::QuantizedUpdate;

use crate::toy;
use ringfence_testkit::{CLIP, Parties};

/// First byte of a stub envelope that opens. A nonce follows, the digest of the key that it is sealed
/// to, and the share's words.
const GOOD: u8 = 1;
/// Bytes before those words.
const PREFIX: usize = 1 + 8 + 32;

/// Coefficients that a spoiled body in full breaks the format at: the count, and padding.
pub(crate) const SPOILED: [usize; 2] = [0, 100];

/// The secret of a round, and its public half.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) secret: RoundSecret,
    pub(crate) key: HexBytes,
}

/// How contributions and openings are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Signed statements and the machines; keys and bodies of two words, envelopes and openings in
    /// the clear.
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
    /// What it holds in the clear, for the oracle.
    pub(crate) plain: toy::Pair,
    /// Whether its key may be another than the one that some holders' shares stand for.
    pub(crate) odd: bool,
}

impl Posted {
    pub(crate) fn site(&self) -> &SiteId {
        &self.header.statement.site
    }
}

/// How a contribution breaks the protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrongs {
    /// Window offsets of holders that are dealt rubbish.
    pub(crate) rubbish: Vec<usize>,
    /// Of holders that are dealt wrong shares, at the level of statements.
    pub(crate) shares: Vec<usize>,
    /// What is added to a word of the body.
    pub(crate) spoils: Option<(usize, Spoil)>,
    /// Its check words are not those of its body.
    pub(crate) check: bool,
}

/// How a body breaks the format, at the level of statements; in full see [`SPOILED`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spoil {
    Count,
    Value(u64),
    Random(u64),
}

/// What a contribution is made of.
pub(crate) struct Dealing<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) holder_keys: &'a HolderKeys,
    pub(crate) site: usize,
    pub(crate) values: [u32; 2],
    pub(crate) wrongs: Wrongs,
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

/// What a holder may open.
#[derive(Clone, Copy)]
pub(crate) enum Ticket<'a> {
    Sum(&'a CertifiedSet<'a>),
    Functionals(&'a CertifiedDispute<'a>, &'a Dispute),
    Keys(&'a CertifiedVerdict<'a>),
}

impl Ticket<'_> {
    /// Sites whose words are opened one by one.
    fn parts(&self) -> usize {
        match self {
            Self::Sum(_) => 1,
            Self::Functionals(..) | Self::Keys(_) => self.sites().len(),
        }
    }

    fn sites(&self) -> Vec<SiteId> {
        match self {
            Self::Sum(set) => set.sites().map(|(site, _)| site.clone()).collect(),
            Self::Functionals(dispute, _) => dispute.sites(),
            Self::Keys(verdict) => verdict.sites().to_vec(),
        }
    }
}

/// What an opening is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) closing: &'a Signed<Closing>,
    pub(crate) subject: Subject,
}

impl Cipher {
    /// A contribution of two values.
    pub(crate) fn contribute(&self, dealing: Dealing<'_>, rng: &mut ChaCha20Rng) -> Posted {
        let Dealing { manifest, site, values, wrongs, .. } = &dealing;
        let mut posted = match self.level {
            Level::Statements => self.stub(&dealing, rng),
            Level::Full => self.encrypt(&dealing, rng),
        };
        for holder in &wrongs.rubbish {
            posted.envelopes[*holder][0] ^= GOOD;
        }
        let header = &mut posted.header.statement;
        header.envelopes = posted.envelopes.iter().map(|envelope| Digest::of(envelope)).collect();
        if wrongs.check {
            header.check.0[0] ^= 1;
        }
        assert_eq!((&header.manifest, values.len()), (&manifest.id(), toy::WORDS));
        posted.header = self.parties.identities[*site].sign(header.clone());
        posted
    }

    fn stub(&self, dealing: &Dealing<'_>, rng: &mut ChaCha20Rng) -> Posted {
        let Dealing { manifest, holder_keys, site, values, wrongs } = dealing;
        let threshold = &self.parties.study.threshold;
        let key = [toy::residue(rng), toy::residue(rng)];
        let mut plain = values.map(toy::plain);
        if let Some((at, spoil)) = wrongs.spoils {
            plain[at] = match spoil {
                Spoil::Count => field::add(plain[at], toy::plain(0)),
                Spoil::Value(value) => field::add(plain[at], value),
                Spoil::Random(word) => word,
            };
        }
        let body = toy::add(key, plain);
        let mut shares = toy::deal(key, threshold, rng);
        for holder in &wrongs.shares {
            shares[*holder].iter_mut().for_each(|word| *word = toy::residue(rng));
        }
        let mut seal = |(key, share): (&HolderKey, &Vec<u64>)| {
            let nonce = rng.next_u64().to_le_bytes();
            let key = Digest::of(&key.key().unwrap().0).0;
            [&[GOOD], nonce.as_slice(), &key, &field::to_bytes(share)].concat()
        };
        let envelopes = holder_keys.iter().zip(&shares).map(&mut seal).collect();
        let words = field::to_bytes(&body);
        let mut header = self.parties.header(manifest, *site, Digest::of(&words), Vec::new());
        let check = toy::check(body).to_le_bytes();
        header.statement.check = HexBytes([&check[..], &[0; CHECK_BYTES - 8]].concat());
        Posted { header, envelopes, body: words, plain, odd: !wrongs.shares.is_empty() }
    }

    fn encrypt(&self, dealing: &Dealing<'_>, rng: &mut ChaCha20Rng) -> Posted {
        let Dealing { manifest, holder_keys, site, values, wrongs } = dealing;
        let (parties, study) = (&*self.parties, &*self.parties.study);
        // Exact, see `CLIP`: the quantizer gives back these very integers.
        let update = values.map(|value| value as f32 - CLIP);
        let quantized =
            QuantizedUpdate::quantize(&update, &study.layout, &study.packing, rng).unwrap();
        assert_eq!(quantized.expose(), values, "the oracle's values are quantized exactly");
        let context = ContributionContext {
            study,
            manifest,
            holder_keys,
            identity: &parties.identities[*site],
            check_key: &parties.check_key,
            spent: None,
        };
        let (mut body, mut plain) = (Vec::new(), values.map(toy::plain));
        let Contribution { mut header, envelopes } =
            Contribution::make(context, &quantized, rng, &mut body).unwrap();
        if let Some((at, _)) = wrongs.spoils {
            let (bits, mut words) = (study.packing.wire_bits, [0; RING_DEGREE]);
            words[SPOILED[at]] = to_word(1 << study.packing.delta_bits, bits);
            let mut block = vec![0; block_bytes(bits)];
            pack(&words, bits, &mut block);
            add_words(&mut body[..block.len()], &block, bits).unwrap();
            header.statement.body = Digest::of(&body);
            plain[at] += 1 << 50;
        }
        Posted { header, envelopes, body, plain, odd: false }
    }

    /// The share that a holder finds in its envelope of a contribution, in full.
    fn share(&self, by: Opener<'_>, posted: &Posted) -> Result<DealtShare, EnvelopeError> {
        let (parties, secret) = (&self.parties, by.secret.map(|secret| &secret.secret));
        let header = &posted.header.statement;
        let identity = &parties.identities[by.holder];
        let offset = parties.study.holder_offset(header.round, identity.site()).unwrap();
        open_envelope(identity, secret, &parties.study, header, &posted.envelopes[offset])
    }

    /// The same of a stub: its words.
    fn stub_share(&self, by: Opener<'_>, posted: &Posted) -> Option<Vec<u64>> {
        let (header, study) = (&posted.header.statement, &self.parties.study);
        let site = &study.roster[by.holder];
        let offset = study.holder_offset(header.round, &site.id).unwrap();
        let key = Digest::of(&by.secret.map_or(&site.kem_key, |secret| &secret.key).0);
        let envelope = &posted.envelopes[offset];
        let opens = envelope.first() == Some(&GOOD) && envelope[9..PREFIX] == key.0;
        opens.then(|| toy::words(&envelope[PREFIX..]).unwrap())
    }

    /// What a holder answers for a contribution of a freeze.
    pub(crate) fn answer(&self, by: Opener<'_>, posted: &Posted, freeze: FreezeId) -> Answer {
        let words = match self.level {
            Level::Statements => {
                self.stub_share(by, posted).map(|share| toy::answer(&share, freeze))
            }
            Level::Full => match self.share(by, posted) {
                Err(EnvelopeError::Bad(_)) => None,
                Err(EnvelopeError::Wrong(wrong)) => panic!("{wrong}"),
                Ok(share) => {
                    Some(share.answer(&Challenge::of(freeze, &self.parties.study.threshold)))
                }
            },
        };
        words.map_or(Answer::NoShare, Answer::Masked)
    }

    /// Whether a holder can open its envelope of a contribution.
    pub(crate) fn envelope_opens(&self, by: Opener<'_>, posted: &Posted) -> bool {
        match self.level {
            Level::Statements => self.stub_share(by, posted).is_some(),
            Level::Full => self.share(by, posted).is_ok(),
        }
    }

    /// A holder's opening; none when an envelope that it needs does not open. A liar answers for
    /// another site's share, or with words that it makes up.
    pub(crate) fn open(
        &self,
        by: Opener<'_>,
        (ticket, about): (Ticket<'_>, About<'_>),
        posted: &[Arc<Posted>],
        rng: &mut ChaCha20Rng,
    ) -> Option<OpeningFrame> {
        let set = &about.closing.statement;
        let of = |site: &SiteId| {
            let header = set.header_of(site)?;
            posted.iter().map(Arc::as_ref).find(|posted| posted.header.id() == header)
        };
        let sites = ticket.sites();
        let members: Vec<&Posted> = sites.iter().map(of).collect::<Option<_>>()?;
        let (identity, study) = (&self.parties.identities[by.holder], &self.parties.study);
        if self.level == Level::Statements {
            let shares: Vec<Vec<u64>> =
                members.iter().map(|member| self.stub_share(by, member)).collect::<Option<_>>()?;
            let mut words = self.words(ticket, &shares);
            if by.lies {
                // About all sites, or about one.
                let each = words.len() / ticket.parts();
                let first = rng.next_u64() as usize % ticket.parts() * each;
                let about = if rng.next_u64().is_multiple_of(2) {
                    0..words.len()
                } else {
                    first..first + each
                };
                words[about].iter_mut().for_each(|word| *word = toy::residue(rng));
            }
            return Some(self.stub_opening(by.holder, about, &words));
        }
        let other = if by.lies { Some(members[0]) } else { None };
        let share = |(site, member): (&SiteId, &&Posted)| {
            Some((site.clone(), self.share(by, other.unwrap_or(member)).ok()?))
        };
        let shares: Vec<_> = sites.iter().zip(&members).map(share).collect::<Option<_>>()?;
        let frame = match ticket {
            Ticket::Sum(set) => open_share_sum(identity, study, set, &shares, rng),
            Ticket::Functionals(dispute, _) => {
                open_functionals(identity, study, dispute, &shares, rng)
            }
            Ticket::Keys(verdict) => open_keys(identity, study, verdict, &shares, rng),
        };
        Some(frame.unwrap())
    }

    /// What a stub opens.
    fn words(&self, ticket: Ticket<'_>, shares: &[Vec<u64>]) -> Vec<u64> {
        let threshold = &self.parties.study.threshold;
        let carrying = toy::polynomials(threshold);
        match ticket {
            Ticket::Sum(_) => (0..carrying)
                .map(|p| shares.iter().fold(0, |sum, share| field::add(sum, share[p])))
                .collect(),
            Ticket::Functionals(_, dispute) => {
                let at = usize::from(dispute.coefficient) % toy::WORDS;
                shares.iter().flat_map(|share| toy::functional(share, at, threshold)).collect()
            }
            Ticket::Keys(_) => shares.iter().flat_map(|share| share[..carrying].to_vec()).collect(),
        }
    }

    /// An opening of these words in the clear, without keys.
    pub(crate) fn stub_opening(
        &self,
        holder: usize,
        about: About<'_>,
        words: &[u64],
    ) -> OpeningFrame {
        let identity = &self.parties.identities[holder];
        let content = field::to_bytes(words);
        let statement = identity.sign(Opening {
            manifest: about.closing.statement.manifest,
            closing: about.closing.id(),
            holder: identity.site().clone(),
            subject: about.subject,
            content: Digest::of(&content),
            recipients: LogHash::empty(),
            plaintext: Digest::of(&content),
        });
        OpeningFrame { statement, content, keys: Vec::new() }
    }
}
