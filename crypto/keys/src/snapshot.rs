//! The common model, sealed by one site to another that has come later: a snapshot. The aggregator
//! carries ciphertext.

use rand::CryptoRng;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::statement::HexBytes;
use ringfence_crypto::wire::canonical::Canonical;
use zeroize::Zeroizing;

use crate::encrypt::check::CheckKey;
use crate::identity::Identity;
use crate::share::seal::{Purpose, SealError, seal};

/// What a snapshot is bound to: its associated data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBinding {
    /// The study as it was first signed.
    pub study: StudyId,
    /// The round after which the model is the common one.
    pub round: RoundNumber,
    /// Who seals it.
    pub from: SiteId,
    /// To whom.
    pub to: SiteId,
}

impl Canonical for SnapshotBinding {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { study, round, from, to } = self;
        study.encode(out);
        round.encode(out);
        from.encode(out);
        to.encode(out);
    }
}

/// What a site that comes later begins with.
#[derive(Debug)]
pub struct Snapshot {
    /// The check keys of rosters that it is not on, with the number of the epoch that made each (0 for
    /// the first): models that were acknowledged under them are named by them.
    pub check_keys: Vec<(u32, CheckKey)>,
    /// The model's values, in layout order.
    pub model: Vec<f32>,
    /// What the mean step remembers, in its own order.
    pub memory: Vec<f64>,
}

/// A snapshot that does not open, or holds something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It holds no snapshot.
    #[error(
        "what is sealed is no snapshot: expected check keys, values and a memory, got {0} bytes"
    )]
    Content(usize),
}

impl Snapshot {
    /// Seals it to a site's KEM key.
    ///
    /// # Errors
    /// [`SealError::Key`] when it is no X-Wing key.
    pub fn seal(
        &self,
        kem_key: &HexBytes,
        binding: &SnapshotBinding,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        seal(kem_key, Purpose::Snapshot, binding, &self.content(), rng)
    }

    /// Opens what was sealed to a site.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn open(
        identity: &Identity,
        binding: &SnapshotBinding,
        sealed: &[u8],
    ) -> Result<Self, SnapshotError> {
        let content = identity.open(Purpose::Snapshot, binding, sealed)?;
        Self::of(&content).ok_or(SnapshotError::Content(content.len()))
    }

    fn content(&self) -> Zeroizing<Vec<u8>> {
        let mut content = Zeroizing::new(Vec::new());
        content.extend((self.check_keys.len() as u32).to_le_bytes());
        for (epoch, key) in &self.check_keys {
            content.extend(epoch.to_le_bytes());
            content.extend(key.expose());
        }
        content.extend((self.model.len() as u64).to_le_bytes());
        self.model.iter().for_each(|value| content.extend(value.to_bits().to_le_bytes()));
        content.extend((self.memory.len() as u64).to_le_bytes());
        self.memory.iter().for_each(|value| content.extend(value.to_bits().to_le_bytes()));
        content
    }

    fn of(content: &[u8]) -> Option<Self> {
        let mut rest = content;
        let mut check_keys = Vec::new();
        for _ in 0..u32::from_le_bytes(*take(&mut rest)?) {
            let epoch = u32::from_le_bytes(*take(&mut rest)?);
            check_keys.push((epoch, CheckKey::from_bytes(take::<32>(&mut rest)?).ok()?));
        }
        let (mut model, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..u64::from_le_bytes(*take(&mut rest)?) {
            model.push(f32::from_bits(u32::from_le_bytes(*take(&mut rest)?)));
        }
        for _ in 0..u64::from_le_bytes(*take(&mut rest)?) {
            memory.push(f64::from_bits(u64::from_le_bytes(*take(&mut rest)?)));
        }
        rest.is_empty().then_some(Self { check_keys, model, memory })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rng, study};

    #[test]
    fn a_snapshot_opens_for_its_site_and_as_what_it_was_sealed() {
        let (study, identities) = study(3);
        let mut rng = rng(1);
        let key = CheckKey::from_bytes(&[7; 32]).unwrap();
        let snapshot =
            Snapshot { check_keys: vec![(0, key)], model: vec![0.5, -0.0], memory: vec![1e-300] };
        let [from, to, other] = &identities[..] else { panic!() };
        let binding = SnapshotBinding {
            study: ringfence_crypto::signature::Statement::id(&study),
            round: RoundNumber(3),
            from: from.site().clone(),
            to: to.site().clone(),
        };
        let sealed = snapshot.seal(&to.public().kem_key, &binding, &mut rng).unwrap();
        let opened = Snapshot::open(to, &binding, &sealed).unwrap();
        assert_eq!(opened.check_keys[0].1.expose(), &[7; 32]);
        assert_eq!(opened.model[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!((opened.model[0], opened.memory[0]), (0.5, 1e-300));
        Snapshot::open(other, &binding, &sealed).unwrap_err();
        let later = SnapshotBinding { round: RoundNumber(4), ..binding.clone() };
        Snapshot::open(to, &later, &sealed).unwrap_err();
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        Snapshot::open(to, &binding, &altered).unwrap_err();
        for cut in [0, 3, 40, 50] {
            assert!(Snapshot::of(&snapshot.content()[..cut]).is_none(), "{cut}");
        }
    }
}
