//! A site that is gone costs the rounds after the next two a stated time and no more.

use ringfence_crypto::round::ABSENT_GRACE;
use ringfence_crypto::statement::{Acknowledgement, Endorsement, Outcome, Previous};

use super::*;
use crate::roster::model;

pub(super) struct Study {
    service: Arc<Service>,
    pub(super) roster: Roster,
    previous: Option<Previous>,
}

impl Study {
    pub(super) async fn start(service: Arc<Service>) -> Self {
        let roster = Roster::new(service.identity.public_key(), Shape::default());
        service.studies.register(json::compact(&roster.signed)).await.unwrap();
        Self { service, roster, previous: None }
    }

    /// A round that is open for a day.
    pub(super) async fn open(&self, number: u32) -> Play {
        let study = self.service.studies.study(self.roster.id()).unwrap();
        let term = Term { opened_at: self.service.clock.now(), seconds: DAY.as_secs() };
        let manifest = self.roster.manifest(RoundNumber(number), term, self.previous.as_ref());
        let manifest = self.roster.signed(&manifest.initiator.clone(), manifest);
        let (_, live) = study.open_round(manifest).await.unwrap();
        let (service, clock) = (self.service.clone(), self.service.clock.clone());
        let (inbox, hand) = (Inbox::new(clock.clone(), IDLE, 8), service.hand.clone());
        Play { roster: self.roster.clone(), live, inbox, clock, hand, service }
    }

    /// From the freeze to a model that all agree on, where a site may be gone.
    pub(super) async fn end(&mut self, play: &Play, gone: Option<&SiteId>) {
        play.reach(RoundState::Reviewing).await;
        let mut window = self.roster.study().window(play.live.id.round);
        if let Some(gone) = gone {
            let holders = window.len();
            window.retain(|holder| holder != gone);
            assert!(window.len() < holders, "it is no key holder of this round");
        }
        play.review(&window).await;
        if gone.is_some() {
            play.hand.advance(Duration::from_secs(ABSENT_GRACE) - SECOND);
            assert_eq!(play.rest().await, RoundState::Reviewing);
            play.hand.advance(SECOND);
        }
        play.reach(RoundState::Closed).await;
        let closing = play.live.closing().unwrap().id();
        for holder in window {
            let round = play.live.id.round;
            let study = self.roster.id();
            let endorsement = Endorsement { study, round, closing, holder: holder.clone() };
            play.live.endorse(self.roster.signed(&holder, endorsement)).await.unwrap();
        }
        let (manifest, next) = (play.live.manifest().id(), model(play.live.id.round.next()));
        let outcome = Outcome::Applied { model: next };
        for site in self.roster.ids.clone() {
            let acknowledgement =
                Acknowledgement { manifest, closing, site: site.clone(), outcome };
            let signed = self.roster.signed(&site, acknowledgement);
            play.live.acknowledge(signed).await.unwrap();
        }
        self.previous = play.live.read().ended();
    }
}

#[tokio::test]
async fn a_site_that_missed_two_rounds_is_waited_for_when_it_is_heard_of_and_else_for_half_a_minute()
 {
    let mut study = Study::start(Arc::new(Service::start().await)).await;
    let ids = study.roster.ids.clone();
    let (gone, others) = ids.split_last().unwrap();
    for number in 0..2 {
        let play = study.open(number).await;
        play.contribute(others).await;
        play.hand.advance(DAY);
        assert_eq!(
            play.rest().await,
            RoundState::Collecting,
            "it is waited for until the deadline"
        );
        play.hand.advance(SECOND);
        study.end(&play, None).await;
    }
    let play = study.open(2).await;
    play.contribute(others).await;
    play.hand.advance(Duration::from_secs(ABSENT_GRACE) - SECOND);
    assert_eq!(play.rest().await, RoundState::Collecting);
    play.hand.advance(SECOND);
    // As key holder it is waited for as long again, and not for the whole time of reviews.
    study.end(&play, Some(gone)).await;

    // The same after a restart, which nobody has spoken to yet.
    let play = study.open(3).await;
    play.contribute(others).await;
    let play = {
        let studies = play.service.restarted().await;
        let live = studies.study(play.roster.id()).unwrap().round(RoundNumber(3)).await.unwrap();
        studies.study(play.roster.id()).unwrap().drive_all();
        Play { live, ..play }
    };
    play.hand.advance(Duration::from_secs(ABSENT_GRACE) - SECOND);
    assert_eq!(play.rest().await, RoundState::Collecting);
    // It is back, and trains: whoever is there is waited for.
    play.live.served.presence.heard(gone, play.clock.moment());
    play.hand.advance(HOUR);
    assert_eq!(play.rest().await, RoundState::Collecting);
    play.contribute(std::slice::from_ref(gone)).await;
    play.reach(RoundState::Reviewing).await;
}
