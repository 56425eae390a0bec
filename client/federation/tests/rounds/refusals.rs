//! Contributions that are refused: of a wrong form, a second, a late and a stranger's one.

use std::time::Duration;

use ringfence_crypto::id::RoundNumber;
use ringfence_keys::identity::Identity;
use ringfence_site::{Membership, Site};

use crate::trio::{Trio, update};

#[tokio::test(flavor = "multi_thread")]
async fn second_and_late_contributions_and_strangers_are_refused() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 3).await.unwrap();
    trio.contribute(&sites[0], 0, RoundNumber(0)).await.unwrap();

    // Update of a wrong length and with a NaN: nothing is sent.
    let joined = sites[1].join(RoundNumber(0)).await.unwrap();
    let short = joined.contribute(trio.base, &[0.0; 3], |_| ()).await.unwrap_err();
    assert!(short.to_string().contains("has 3 values, the study's layout has 5000"), "{short}");
    let mut nan = update(1);
    nan[17] = f32::NAN;
    let joined = sites[1].join(RoundNumber(0)).await.unwrap();
    let nan = joined.contribute(trio.base, &nan, |_| ()).await.unwrap_err();
    assert!(nan.to_string().contains("value 17 of tensor \"w\" is NaN"), "{nan}");

    // The state was lost: the site makes a second, different contribution. 409, nothing changes.
    drop(sites);
    let lost = trio.folder.path().join("lost");
    let amnesiac = trio.site_with(0, |membership| membership.state = lost);
    let refused = trio.contribute(&amnesiac, 0, RoundNumber(0)).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("(409)") && text.contains("only the same bytes"), "{text}");

    // After the deadline.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = trio.contribute(&trio.site(2), 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(late.contains("(409)") && late.contains("takes no more contributions"), "{late}");

    // Somebody whose keys are not in the roster.
    let mut rng = ringfence_keys::system_rng().unwrap();
    let stranger = Identity::generate("a".parse().unwrap(), &mut rng).unwrap();
    let state = trio.folder.path().join("stranger");
    let membership = Membership { identity: stranger, ..trio.membership(0, &state) };
    let error = Site::open(membership);
    assert!(error.unwrap_err().to_string().contains("does not stand in this study's roster"));
}
