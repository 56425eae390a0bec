//! A round that a site spoils, with a key holder whose machine has no network: it takes its part in the
//! dispute by bundles.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_keys::identity::Identity;
use ringfence_site::by_hand::{Carrier, Mailbox};
use ringfence_site::transport::Transport;
use ringfence_site::{RoundEnd, Site, SiteError};

use crate::disputes::{self, SPOILS};
use crate::trio::{Trio, next_model, update};

const ROUND: RoundNumber = RoundNumber(0);

/// d contributes and is gone then, so that e is needed as key holder.
const GONE: usize = 3;
const BY_HAND: usize = 4;

/// Site e without a network, and who carries for it.
struct ByHand<'a> {
    trio: &'a Trio,
    site: Site,
    mailbox: Arc<Mailbox>,
    carrier: Carrier,
    key: ringfence_crypto::signature::PublicKey,
    trips: Cell<usize>,
    /// How many answers each bundle has asked for by name.
    wanted: RefCell<Vec<usize>>,
    /// What the aggregator has taken, in words.
    taken: RefCell<Vec<String>>,
}

impl<'a> ByHand<'a> {
    fn new(trio: &'a Trio) -> Self {
        let (identity, clock) = (trio.identity(BY_HAND), Clock::system());
        let state = trio.folder.path().join("state-by-hand");
        let mailbox = Mailbox::new(&state, &trio.study.study, &identity, clock.clone());
        let mailbox = Arc::new(mailbox);
        let site = trio.site_with(BY_HAND, |membership| {
            membership.state = state;
            membership.transport = Transport::by_hand(Arc::clone(&mailbox), clock).unwrap();
        });
        let mut rng = ringfence_keys::system_rng().unwrap();
        let carrier = Identity::generate("carrier".parse().unwrap(), &mut rng).unwrap();
        let key = carrier.public().signature_key;
        let way = Transport::new(trio.aggregator.url(), false, Clock::system()).unwrap();
        let way = way.with_patience(Duration::from_secs(60));
        let carrier = Carrier::new(carrier, way);
        let (trips, wanted, taken) = Default::default();
        Self { trio, site, mailbox, carrier, key, trips, wanted, taken }
    }

    async fn trip(&self) {
        let trip = self.trips.replace(self.trips.get() + 1);
        let folder = self.trio.folder.path();
        let [from, to] = ["from", "to"].map(|way| folder.join(format!("{way}-{trip}")));
        let exported = self.site.export(&self.mailbox, &from, (self.key, 86_400)).await.unwrap();
        self.wanted.borrow_mut().push(exported.wanted);
        let carried = self.carrier.carry(&from, &to).await.unwrap();
        assert_eq!(carried.refused, [], "trip {trip}");
        self.taken.borrow_mut().extend(carried.taken);
        self.mailbox.import(&to).unwrap();
    }

    /// Does a step, with a trip after each time that it can do no more.
    async fn until<T>(&self, step: impl AsyncFn() -> Result<T, SiteError>) -> T {
        for _ in 0..100 {
            match step().await {
                Ok(done) => return done,
                Err(SiteError::Transport(error)) if error.is_by_hand() => self.trip().await,
                Err(error) => panic!("after {} trips: {error}", self.trips.get()),
            }
            // The others go on meanwhile.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("no end after {} trips: {:?}", self.trips.get(), self.taken.borrow())
    }
}

/// What a site opens, and what it found out; it says which model it holds.
async fn finish(site: &Site) -> Result<(Vec<u32>, Vec<String>), SiteError> {
    let end = site.join(ROUND).await?.finish().await?;
    let RoundEnd::Done(done) = end else { panic!("the round was aborted") };
    let mean = done.mean().into_iter().map(f32::to_bits).collect();
    let barred = done.trust.barred.iter().map(ToString::to_string).collect();
    done.acknowledge(next_model()).await?;
    Ok((mean, barred))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holder_without_a_network_takes_its_part_in_a_dispute() {
    let trio = Trio::start_of(5, |draft| {
        draft.review_seconds = 20;
        draft.longest_round_seconds = 3600;
    })
    .await;
    let by_hand = ByHand::new(&trio);
    let patient = |k| trio.site_with(k, |m| m.patience = Duration::from_secs(240));
    let mut sites: Vec<Site> = (0..4).map(patient).collect();
    by_hand.trip().await;
    by_hand.trip().await;
    disputes::contribute(&trio, &sites, SPOILS).await;
    let own = &by_hand.site;
    by_hand.until(async || trio.contribute(own, BY_HAND, ROUND).await).await;
    drop(sites.remove(GONE));
    let on_the_network = join_all(sites.iter().map(|site| async move {
        assert!(site.hold(ROUND).await.unwrap().opened);
        finish(site).await.unwrap()
    }));
    let without_one = async {
        by_hand.until(async || own.hold(ROUND).await).await;
        let contributed = by_hand.trips.get();
        let end = by_hand.until(async || finish(own).await).await;
        // What it said last leaves, too.
        by_hand.trip().await;
        (end, by_hand.trips.get() - contributed)
    };
    let (ends, (own_end, trips)) = tokio::join!(on_the_network, without_one);
    assert!(ends.iter().all(|end| *end == own_end));
    let (mean, barred) = own_end;
    assert_eq!(barred, ["b"]);
    let all = [0, 2, 3, 4].map(update);
    for (at, value) in mean.iter().enumerate() {
        let expected = all.iter().map(|of| of[at]).sum::<f32>() / 4.0;
        assert!((f32::from_bits(*value) - expected).abs() < 1e-4, "value {at}");
    }
    let taken = by_hand.taken.borrow();
    for said in [
        "the review of e in round 0",
        "the opening of e in round 0",
        "the endorsement of e in dispute 1 of round 0",
        "the opening of e in dispute 1 of round 0",
        "the endorsement of e in the verdict on dispute 1 of round 0",
        "the opening of e in the verdict on dispute 1 of round 0",
        "the acknowledgement of e in round 0",
    ] {
        assert!(taken.iter().any(|of| of == said), "{said}: {taken:?}");
    }
    // The bodies, of which a sum that is in dispute is added up again, come in one trip.
    let wanted = by_hand.wanted.borrow();
    assert!(wanted.windows(2).any(|of| of[1] >= of[0] + 4), "{wanted:?}");
    println!("{trips} trips from its opening on, asking for {wanted:?} by name");
}
