//! Sums that do not fit the signed headers: every site ends with the right mean all the same, and
//! whoever is at fault is named.

use std::path::{Path, PathBuf};

use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::HolderKeys;
use ringfence_crypto::wire::frame;
use ringfence_keys::encrypt::contribution::{Contribution, ContributionContext};
use ringfence_keys::open::Evidence;
use ringfence_keys::update::quantize::QuantizedUpdate;
use ringfence_site::{Done, RoundEnd, Site};

use crate::trio::{Trio, update};

const ROUND: RoundNumber = RoundNumber(0);

/// Opens the round at a site, whose mean must be that of the three updates.
async fn opened(site: &Site) -> Done<'_> {
    let RoundEnd::Done(done) = site.join(ROUND).await.unwrap().finish().await.unwrap() else {
        panic!("the round was aborted");
    };
    for (k, mean) in done.mean().iter().enumerate() {
        let expected = (0..3).map(|site| update(site)[k]).sum::<f32>() / 3.0;
        assert!((mean - expected).abs() < 1.0 / 65535.0, "value {k}: {mean} for {expected}");
    }
    done
}

/// The one file of a name under a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => (path.file_name()? == name).then_some(path),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_in_the_stored_sum_changes_no_mean() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    let holding = sites.iter().map(|site| site.hold(ROUND));
    futures_util::future::join_all(holding).await.into_iter().for_each(|held| drop(held.unwrap()));
    assert_eq!(opened(&sites[0]).await.evidence, []);

    let path = find(&trio.folder.path().join("aggregator"), "sum").unwrap();
    let mut sum = std::fs::read(&path).unwrap();
    sum[1234] ^= 4;
    std::fs::write(&path, sum).unwrap();
    for site in &sites {
        let done = opened(site).await;
        // An aggregator that looks at what it serves makes the sum again; then nothing is seen.
        let only = |found: &Evidence| matches!(found, Evidence::OtherSum { .. });
        assert!(done.evidence.iter().all(only), "{:?}", done.evidence);
        assert_eq!(done.evidence_file.is_file(), !done.evidence.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_wrong_check_words_is_named_and_its_body_counts() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate().take(2) {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    // Site c signs a header whose check words do not open.
    let (transport, identity, study) = (trio.transport_of(2), trio.identity(2), &trio.study.study);
    let at = transport.round(trio.study_id(), ROUND);
    let manifest = at.manifest().await.unwrap().statement;
    let mut rng = ringfence_keys::system_rng().unwrap();
    let mut keys = Vec::new();
    let named = manifest.holders.iter().zip(&manifest.holder_keys);
    for (holder, _) in named.filter(|(_, key)| key.is_some()) {
        keys.push(transport.round_keys(trio.study_id(), holder, ROUND).await.unwrap());
    }
    let quantized =
        QuantizedUpdate::quantize(&update(2), &study.layout, &study.packing, &mut rng).unwrap();
    let context = ContributionContext {
        study,
        manifest: &manifest,
        holder_keys: &HolderKeys::resolve(study, &manifest, &keys).unwrap(),
        identity: &identity,
        check_key: &identity.check_key(study).unwrap(),
        spent: None,
    };
    let mut body = Vec::new();
    let made = Contribution::make(context, &quantized, &mut rng, &mut body).unwrap();
    let mut header = made.header.statement;
    header.check.0[0] ^= 1;
    let header = identity.sign(header);
    at.put_header(&header).await.unwrap();
    let envelopes = frame::encode(&EnvelopeFrame { envelopes: made.envelopes }).unwrap();
    at.put_envelopes(identity.site(), envelopes).await.unwrap();
    let path = trio.folder.path().join("body");
    std::fs::write(&path, body).unwrap();
    at.put_body(identity.site(), &path, 0).await.unwrap();

    let holding = sites.iter().map(|site| site.hold(ROUND));
    futures_util::future::join_all(holding).await.into_iter().for_each(|held| drop(held.unwrap()));
    for site in &sites {
        let done = opened(site).await;
        assert_eq!(done.evidence, [Evidence::CheckWords { header: header.clone() }]);
        let kept = std::fs::read_to_string(&done.evidence_file).unwrap();
        assert!(kept.contains("\"check_words\"") && kept.contains("\"c\""), "{kept}");
    }
}
