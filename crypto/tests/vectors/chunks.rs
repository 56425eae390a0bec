//! Parts of bodies, each checked against the body's digest alone.

use ringfence_crypto::Digest;
use ringfence_crypto::chunk_group::{ChunkGroup, ChunkGroupError, GROUP_BYTES};
use serde::Deserialize;

use crate::files::refused;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chunks {
    cases: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    body_label: String,
    body_bytes: usize,
    digest: Digest,
    index: u64,
    start: usize,
    bytes: usize,
    siblings: Vec<Digest>,
}

impl Group {
    fn body(&self) -> Vec<u8> {
        let mut body = vec![0; self.body_bytes];
        blake3::Hasher::new().update(self.body_label.as_bytes()).finalize_xof().fill(&mut body);
        assert_eq!(Digest::of(&body), self.digest);
        body
    }

    fn verify(&self, bytes: &[u8]) -> Result<(), ChunkGroupError> {
        let siblings: Vec<[u8; 32]> = self.siblings.iter().map(|sibling| sibling.0).collect();
        let (body_bytes, index) = (self.body_bytes as u64, self.index);
        ChunkGroup { body_bytes, index, bytes, siblings: &siblings }.verify(self.digest)
    }
}

pub(crate) fn body_chunk(_: &str, file: Chunks) {
    for case in &file.cases {
        let body = case.body();
        assert_eq!(case.start, case.index as usize * GROUP_BYTES);
        let mut bytes = body[case.start..][..case.bytes].to_vec();
        case.verify(&bytes).unwrap();
        bytes[case.bytes / 2] ^= 1;
        assert!(case.verify(&bytes).is_err());
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BadGroup {
    body_label: String,
    body_bytes: usize,
    digest: Digest,
    index: u64,
    start: usize,
    bytes: usize,
    siblings: Vec<Digest>,
    flip: Option<usize>,
    error: String,
}

pub(crate) fn body_chunk_bad(_: &str, file: BadGroup) {
    let BadGroup { body_label, body_bytes, digest, index, start, bytes, siblings, flip, error } =
        file;
    let group = Group { body_label, body_bytes, digest, index, start, bytes, siblings };
    let mut part = group.body()[start..][..bytes].to_vec();
    if let Some(place) = flip {
        part[place] ^= 1;
    }
    refused(group.verify(&part), &error);
}
