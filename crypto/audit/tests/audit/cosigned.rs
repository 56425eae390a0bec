//! What sites have cosigned of the log, in an export.

use std::fs;
use std::path::Path;

use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::log::{SignedNote, Witness};
use ringfence_crypto::wire::json;
use ringfence_testkit::Record;

/// The log's head as it stands, cosigned by these sites.
pub(crate) fn cosigned(record: &Record, sites: &[usize], at: u64) -> SignedNote {
    let mut note = record.checkpoint().1;
    for site in sites {
        let (identity, id) = (&record.parties.identities[*site], record.parties.id);
        let key = identity.public().signature_key;
        let witness = Witness::site(id, identity.site(), key).unwrap();
        let cosignature = witness.cosign(&note, UnixSeconds(at), identity.signer());
        witness.attach(&mut note, &cosignature);
    }
    note
}

/// What sites have cosigned, into the folder.
pub(crate) fn put_cosigned(folder: &Path, notes: &[SignedNote]) {
    let notes: Vec<String> = notes.iter().map(SignedNote::to_string).collect();
    fs::write(folder.join("log/cosignatures.json"), json::compact(&notes)).unwrap();
}
