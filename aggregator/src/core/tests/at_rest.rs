//! Rounds that are over leave memory, and are there when somebody asks for them.

use ringfence_crypto::statement::{Endorsement, Previous};

use super::*;
use crate::core::refusal::Kind;
use crate::core::rounds::LiveStudy;
use crate::store::terms::RoundId;

const MINUTES: u64 = 600;

pub(super) struct Rounds {
    pub(super) service: Arc<Service>,
    pub(super) roster: Roster,
    pub(super) study: Arc<LiveStudy>,
    pub(super) previous: Option<Previous>,
}

impl Rounds {
    pub(super) async fn start() -> Self {
        let service = Arc::new(Service::start().await);
        let roster = Roster::new(service.identity.public_key(), Shape::default());
        service.studies.register(json::compact(&roster.signed)).await.unwrap();
        let study = service.studies.study(roster.id()).unwrap();
        Self { service, roster, study, previous: None }
    }

    /// A round to which nobody contributes, to its certified abort.
    pub(super) async fn abort(&mut self, number: u32) {
        self.abort_after(number, &[]).await;
    }

    /// The same of one to which these few sites contribute.
    async fn abort_after(&mut self, number: u32, sites: &[SiteId]) {
        let term = Term { opened_at: self.service.clock.now(), seconds: MINUTES };
        let manifest = self.roster.manifest(RoundNumber(number), term, self.previous.as_ref());
        let manifest = self.roster.signed(&manifest.initiator.clone(), manifest);
        let (_, live) = self.study.open_round(manifest).await.unwrap();
        let (service, clock) = (self.service.clone(), self.service.clock.clone());
        let (inbox, hand) = (Inbox::new(clock.clone(), IDLE, 8), service.hand.clone());
        let roster = self.roster.clone();
        let play = Play { roster, live: live.clone(), inbox, clock, hand, service };
        match number % 2 {
            0 => play.contribute(sites).await,
            // In one request, and not in a file.
            _ => {
                for site in sites {
                    play.send_whole(site).await.unwrap().unwrap();
                }
            }
        }
        self.service.hand.advance(Duration::from_secs(MINUTES + 1));
        let mut versions = live.versions();
        versions.wait_for(|_| live.closing().is_ok()).await.unwrap();
        let closing = live.closing().unwrap();
        for holder in self.roster.study().window(RoundNumber(number)) {
            let endorsement = Endorsement {
                study: self.roster.id(),
                round: RoundNumber(number),
                closing: closing.id(),
                holder: holder.clone(),
            };
            live.endorse(self.roster.signed(&holder, endorsement)).await.unwrap();
        }
        assert_eq!(live.status().state, RoundState::Aborted);
        self.previous = live.read().ended();
        assert!(self.previous.is_some());
    }

    fn in_memory(&self) -> Vec<u32> {
        self.study.at_work().iter().map(|round| round.id.round.0).collect()
    }
}

#[tokio::test]
async fn rounds_that_are_over_leave_memory_and_come_back_as_they_were() {
    let mut rounds = Rounds::start().await;
    let mut statuses = Vec::new();
    for number in 0..8 {
        rounds.abort(number).await;
        statuses.push(rounds.study.round(RoundNumber(number)).await.unwrap().status());
        // However many there were.
        assert!(rounds.in_memory().len() <= 3, "{:?}", rounds.in_memory());
    }
    assert_eq!(rounds.in_memory(), [6, 7]);
    let mut counted = Vec::new();
    rounds.study.count_states(|state| counted.push(state));
    assert_eq!(counted, [RoundState::Aborted; 8]);

    for (number, status) in statuses.iter().enumerate() {
        let round = rounds.study.round(RoundNumber(number as u32)).await.unwrap();
        assert_eq!(round.status(), *status);
    }
    // Those that were asked for last.
    assert_eq!(rounds.in_memory(), [2, 3, 4, 5, 6, 7]);
    rounds.abort(8).await;

    // The same after a restart.
    let studies = rounds.service.restarted().await;
    let study = studies.study(rounds.roster.id()).unwrap();
    let numbers: Vec<u32> = study.at_work().iter().map(|round| round.id.round.0).collect();
    assert_eq!(numbers, [7, 8]);
    assert_eq!(study.round(RoundNumber(0)).await.unwrap().status(), statuses[0]);
}

#[tokio::test]
async fn bodies_are_kept_for_as_long_as_the_operator_says_and_nothing_else_goes() {
    let mut rounds = Rounds::start().await;
    let site = rounds.roster.ids[0].clone();
    for number in 0..4 {
        rounds.abort_after(number, std::slice::from_ref(&site)).await;
    }
    let stored = async |number| {
        let round = RoundId { study: rounds.roster.id(), round: RoundNumber(number) };
        rounds.service.store.blobs.body_bytes(round, &site).await.unwrap() > 0
    };
    let keep = 10 * DAY;
    let studies = rounds.service.restarted_keeping(keep).await;
    let study = studies.study(rounds.roster.id()).unwrap();
    let of = async |number| {
        let live = study.round(RoundNumber(number)).await.unwrap();
        LiveContribution { live, site: site.clone() }
    };
    let deleting = tokio::spawn(async move { studies.forget_bodies().await });
    let rest = async || {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    rest().await;
    assert!(stored(0).await && stored(1).await, "their time is not over");
    assert!(of(0).await.body(false).await.is_ok());
    rounds.service.hand.advance(keep);
    while stored(1).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rest().await;
    // The last rounds stay whole: they are at work.
    let kept = [stored(0).await, stored(1).await, stored(2).await, stored(3).await];
    assert_eq!(kept, [false, false, true, true]);
    let refusal = of(1).await.body(false).await.unwrap_err();
    assert_eq!(refusal.kind(), Kind::Gone, "{}", refusal.detail());
    assert!(refusal.detail().contains("--keep-bodies-days"), "{}", refusal.detail());
    // Its header and envelopes are there, and nobody is asked for it again.
    for number in [0, 1] {
        let first = of(number).await;
        assert!(first.known().is_ok() && first.envelope(&rounds.roster.ids[1]).await.is_ok());
        assert_eq!(first.live.status().wanted, []);
    }
    deleting.abort();
}

/// Two live rounds with one number would each write what the other does not know.
#[tokio::test]
async fn a_round_that_somebody_works_with_is_not_loaded_a_second_time() {
    let mut rounds = Rounds::start().await;
    rounds.abort(0).await;
    let used = rounds.study.round(RoundNumber(0)).await.unwrap();
    for number in 1..8 {
        rounds.abort(number).await;
    }
    assert!(!rounds.in_memory().contains(&0));
    assert!(Arc::ptr_eq(&used, &rounds.study.round(RoundNumber(0)).await.unwrap()));
    drop(used);
    let (first, second) =
        tokio::join!(rounds.study.round(RoundNumber(0)), rounds.study.round(RoundNumber(0)));
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
}
