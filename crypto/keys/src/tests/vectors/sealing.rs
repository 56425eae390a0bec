//! Identities, the study's sealed check key, and sealing.

use ed25519_dalek::SigningKey;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::{PublicKey, Statement};
use ringfence_crypto::statement::HexBytes;
use serde::Deserialize;

use super::files::refused;
use super::story::{Identities, Script, identity, study};
use crate::encrypt::check::CheckKey;
use crate::round_secret::{RoundSecret, publish};
use crate::share::seal::{self, KemSecret, Purpose};
use crate::study::draft::seal_check_key;

pub(super) fn identities(_: &str, file: Identities) {
    let study = study();
    assert_eq!(file.sites.len(), study.roster.len());
    let key = CheckKey::from_bytes(&file.check_key.0).unwrap();
    assert_eq!(key.commitment(), file.commitment);
    for (position, secrets) in file.sites.iter().enumerate() {
        let identity = identity(&secrets.site);
        assert_eq!(identity.public(), study.roster[position]);
        assert_eq!(identity.check_key(&study).unwrap().expose(), key.expose());
    }
    let mut parts = vec![file.check_key.0.as_slice()];
    parts.extend(file.sites.iter().map(|secrets| secrets.seal_randomness.0.as_slice()));
    let mut script = Script::new(&parts);
    assert_eq!(seal_check_key(&study.roster, &mut script).unwrap(), study.check_key);
    script.finish();

    let aggregator = SigningKey::from_bytes(&file.aggregator_seed.0.try_into().unwrap());
    assert_eq!(PublicKey::from(aggregator.verifying_key()), study.aggregator_key);
    for model in &file.models {
        assert_eq!(key.model(&model.model), model.keyed);
    }
    let secrets: Vec<_> =
        file.round_key_seeds.iter().map(|seed| RoundSecret::from_bytes(&seed.0).unwrap()).collect();
    let of_site = identity(file.round_keys.statement.site.as_str());
    assert_eq!(publish(&of_site, study.id(), RoundNumber(0), &secrets), file.round_keys);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    recipient_seed: HexBytes,
    recipient_key: HexBytes,
    cases: Vec<Sealed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    purpose: String,
    bound_to: SiteId,
    randomness: HexBytes,
    plaintext: HexBytes,
    sealed: HexBytes,
}

fn purpose(name: &str) -> Purpose {
    match name {
        "envelope" => Purpose::Envelope,
        "opening" => Purpose::Opening,
        "check-key" => Purpose::CheckKey,
        other => panic!("no purpose {other:?}"),
    }
}

pub(super) fn seal(_: &str, file: Seal) {
    let secret = KemSecret::from_seed(&file.recipient_seed.0).unwrap();
    assert_eq!(secret.public(), file.recipient_key);
    for Sealed { purpose: name, bound_to, randomness, plaintext, sealed } in &file.cases {
        let (key, purpose) = (&file.recipient_key, purpose(name));
        let mut script = Script::new(&[&randomness.0]);
        let made = seal::seal(key, purpose, bound_to, &plaintext.0, &mut script);
        assert_eq!(made.as_ref(), Ok(&sealed.0), "{name}");
        script.finish();
        assert_eq!(*secret.open(purpose, bound_to, &sealed.0).unwrap(), plaintext.0, "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadSeal {
    recipient_seed: HexBytes,
    purpose: String,
    bound_to: SiteId,
    sealed: HexBytes,
    error: String,
}

pub(super) fn seal_bad(_: &str, file: BadSeal) {
    let secret = KemSecret::from_seed(&file.recipient_seed.0).unwrap();
    refused(secret.open(purpose(&file.purpose), &file.bound_to, &file.sealed.0), &file.error);
}
