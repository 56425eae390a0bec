use std::fs;

use ringfence_crypto::id::UnixSeconds;

use super::*;
use crate::by_hand::contents::Outcome;

fn written(path: &Path) -> u64 {
    let mut bundle = BundleWriter::new(path).unwrap();
    for (place, bytes) in
        [("studies/x/status", &b"{}"[..]), ("studies/x/sum", &[7; 3000]), ("e", b"")]
    {
        bundle.add(place.into(), Kind::Answer { status: 200 }, bytes).unwrap();
    }
    let key = ed25519_key();
    let of =
        Of { study: Digest::of(b"study").into(), site: "b".parse().unwrap(), aggregator_key: key };
    let refused = None;
    let outcome = Outcome { message: Digest::of(b"m"), what: "a header".into(), refused };
    let way = Way::ToSite { made_at: UnixSeconds(7), outcomes: vec![outcome] };
    bundle.finish(of, way).unwrap()
}

fn ed25519_key() -> ringfence_crypto::signature::PublicKey {
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().unwrap()
}

#[test]
fn a_bundle_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bundle");
    let bytes = written(&path);
    assert_eq!(bytes, fs::metadata(&path).unwrap().len());
    let bundle = Bundle::open(&path).unwrap();
    let read = |place: usize| {
        let (item, start) = &bundle.items[place];
        bundle.bytes(item, *start).unwrap()
    };
    assert_eq!((read(0), read(1), read(2)), (b"{}".to_vec(), vec![7; 3000], Vec::new()));
    assert!(matches!(bundle.way, Way::ToSite { made_at: UnixSeconds(7), .. }));
}

#[test]
fn an_altered_byte_anywhere_and_a_missing_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bundle");
    written(&path);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        let error = Bundle::open(&path).unwrap_err().to_string();
        let said = ["is no bundle", "is not as it was written"];
        assert!(said.iter().any(|said| error.contains(said)), "byte {at}: {error}");
    }
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Bundle::open(&path).unwrap_err().to_string();
        assert!(error.contains("bundle") && !error.contains("panic"), "{length}: {error}");
    }
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(Bundle::open(&path).unwrap_err().to_string().contains("not as it was written"));
}
