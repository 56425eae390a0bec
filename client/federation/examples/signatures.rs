//! What it costs to gather the signatures of a study of many sites: all sites in this process, the
//! aggregator's own binary, HTTP on loopback. `signatures SITES [AT_ONCE]`; docs/benchmarks.md has
//! figures.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ringfence_clock::Clock;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{PrivacyPolicy, SignedStudy, Training, Weighting};
use ringfence_federation::Aggregator;
use ringfence_keys::identity::Identity;
use ringfence_keys::study::draft::StudyDraft;
use ringfence_site::model;
use ringfence_site::transport::Transport;
use ringfence_weights::Weights;

/// Sites that sign at the same time, unless told otherwise.
const AT_ONCE: usize = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Result<Vec<usize>, _> = words.iter().map(|word| word.parse()).collect();
    let (sites, at_once) = match numbers.as_deref() {
        Ok([sites]) => (*sites, AT_ONCE),
        Ok([sites, at_once]) if *at_once > 0 => (*sites, *at_once),
        _ => bail!("expected SITES [AT_ONCE], got {words:?}"),
    };
    let (folder, clock) = (tempfile::tempdir()?, Clock::system());
    let aggregator = Aggregator::start(folder.path(), clock.clone()).await?;
    let mut rng = ringfence_keys::system_rng().context("no randomness")?;
    let began = Instant::now();
    let mut identities = Vec::new();
    for k in 0..sites {
        identities.push(Identity::generate(format!("site-{k}").parse()?, &mut rng)?);
    }
    let initial = Weights::from_values(&[("w".into(), vec![10])], vec![0.25; 10])?;
    let draft = StudyDraft {
        name: "signatures".into(),
        created_at: clock.now(),
        roster: identities.iter().map(Identity::public).collect(),
        aggregator_key: aggregator.public_key(),
        threshold: None,
        min_sites: None,
        value_bits: 16,
        layout: model::layout(&initial, 0.5),
        initial_model: model::id(&initial),
        weighting: Weighting::Equal,
        privacy: PrivacyPolicy::None,
        training: Training::None,
        min_round_seconds: 5,
        longest_round_seconds: 3600,
        review_seconds: 60,
        initiator_timeout_seconds: 60,
    };
    let unsigned = SignedStudy::unsigned(draft.into_study(&mut rng)?);
    let id = unsigned.study.id();
    println!("{sites} sites and their study made in {:.1} s", began.elapsed().as_secs_f64());

    let transport = Transport::new(aggregator.url(), false, clock)?;
    let began = Instant::now();
    let status = transport.post_draft(&unsigned, aggregator.token()).await?;
    println!(
        "posted in {:.1} s: {} of {sites} signed",
        began.elapsed().as_secs_f64(),
        status.signed
    );

    // What each site does by itself: the study is hashed for it.
    let began = Instant::now();
    let mut signed = Vec::new();
    for identity in identities {
        let mut own = unsigned.clone();
        own.sign(identity.site(), identity.signer())?;
        signed.push((own.signatures.pop().context("no signature was made")?, identity));
    }
    println!("signed in {:.1} s, one after the other", began.elapsed().as_secs_f64());

    // Every `at_once`-th site is one task's, so that they come out of order.
    let began = Instant::now();
    let mut shares: Vec<Vec<_>> = (0..at_once).map(|_| Vec::new()).collect();
    for (k, signed) in signed.into_iter().enumerate() {
        shares.get_mut(k % at_once).context("no such share")?.push(signed);
    }
    let tasks = shares.into_iter().map(|share| {
        let transport = transport.clone();
        tokio::spawn(async move {
            for (signature, identity) in share.into_iter().rev() {
                let transport = transport.clone().of_site(Arc::new(identity));
                transport.put_study_signature(id, &signature).await?;
            }
            anyhow::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let gathered = began.elapsed().as_secs_f64();
    let status = transport.post_draft(&unsigned, aggregator.token()).await?;
    ensure!(status.registered, "not registered: {} of {sites} have signed", status.signed);
    println!("{sites} signatures gathered, and the study registered, in {gathered:.1} s");
    Ok(())
}
