//! Disputes of one certified set, searched exhaustively: four or five sites, one of them corrupt.
//!
//! Honest holders are shown, at any time and in any order, anything that the adversary can certify.
//! Each may be brought to find either of two positions and either of two culprits: what a holder finds
//! is not decided here, and the rules must hold however that is. A holder may also see, at any time,
//! that Q sites hold one model. The corrupt site endorses everything. Every decision is asked of
//! [`Holder`] over records on disk; crashes between its durable write and sending are restarts from
//! there, so that what is searched is what is on disk and what was sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certifiable, Certificate, Dispute, DisputeCertificate, Endorses, Proceedings, Quorum, Verdict,
    VerdictCertificate,
};
use ringfence_keys::duties::disputes::Case;
use ringfence_keys::duties::holder::{Decision, Holder, Records};
use ringfence_keys::identity::Identity;
use ringfence_keys::open::Position;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::decisions::Memo;
use crate::world::{ClosingAt, Menu, World};

const ONE_DISPUTE: &str = "at most one dispute certified an index";
const ONE_VERDICT: &str = "at most one verdict certified a dispute";
const FUNCTIONALS: &str = "functionals are opened under a certified dispute only";
const KEYS: &str = "a key is opened only under a certified verdict of a certified dispute";
const SETTLED: &str = "no dispute or verdict is endorsed after a round is settled";
/// The checker sees disputes that end.
const REMOVES: &str = "a culprit's key is opened";

/// One of two positions, or of two culprits.
type Choice = u8;

/// A rule that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Holders forget what they endorsed.
    Records,
    /// Holders open functionals of the dispute that they endorsed, before it is certified.
    CertifiedDisputes,
    /// Holders open keys of the culprits that they named, before the verdict is certified.
    CertifiedVerdicts,
    /// Holders endorse after the round is settled.
    Settled,
    /// A certificate needs one endorsement less.
    Endorsements,
}

/// What an honest holder has on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Disk {
    disputed: Option<Choice>,
    /// By the dispute that it judges.
    judged: [Option<Choice>; 2],
    settled: bool,
}

/// What honest holders have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Dispute(u8, Choice),
    Verdict(u8, Choice, Choice),
    Functionals(Choice),
    Keys(Choice, Choice),
    /// It endorsed although it had destroyed its shares.
    Late,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    disks: Vec<Disk>,
    sent: BTreeSet<Message>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Dispute(u8, Choice),
    Judge(u8, Choice, Choice),
    Answer(u8, Choice),
    Remove(u8, Choice, Choice),
    Settle(u8),
}

/// What a holder is asked, with what is on its disk and who endorses what it is shown, as bits.
type Question = (u8, Disk, Asked, u8, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Dispute(Choice),
    Judge(Choice, Choice),
    Answer(Choice),
    Remove(Choice, Choice),
}

struct Disputes {
    world: World,
    without: Without,
    certificate: Certificate,
    answers: Memo<Question>,
}

impl Disputes {
    fn new(sites: usize, without: Without) -> Self {
        let all = (1u8 << sites) - 1;
        let (corrupt, rounds, manifests, sets) = (1, 1, 1, vec![all]);
        let menu = Menu { sites, corrupt, holders: sites, rounds, manifests, sets };
        let fewer = u16::from(without == Without::Endorsements);
        let world = World::new(menu, |study| study.threshold.endorsements -= fewer);
        let closing: ClosingAt = 0;
        let certificate = world.certificate(closing, all);
        Self { world, without, certificate, answers: Memo::default() }
    }

    fn honest(&self) -> u8 {
        self.world.honest() as u8
    }

    fn dispute(&self, at: Choice) -> Dispute {
        let closing = &self.certificate.closing;
        let (study, round) = (closing.statement.study, closing.statement.round);
        let (index, after, block, coefficient) = (1, None, 0, u16::from(at));
        Dispute { study, round, closing: closing.id(), index, after, block, coefficient }
    }

    fn verdict(&self, at: Choice, culprit: Choice) -> Verdict {
        let Dispute { study, round, closing, .. } = self.dispute(at);
        let sites = vec![self.world.site_id(culprit.into())];
        Verdict { study, round, closing, dispute: Some(self.dispute(at).id()), sites }
    }

    /// What these honest holders and the corrupt one certify, if they are enough.
    fn quorum<S: Certifiable>(&self, statement: &S, honest: u8) -> Quorum<S> {
        let endorse = |holder: &Identity| -> Signed<Endorses<S>> {
            let (statement, holder_name) = (statement.clone(), holder.site().clone());
            holder.sign(Endorses { statement, holder: holder_name })
        };
        let holders = self.world.parties.identities.iter().enumerate();
        let endorsing = holders.filter(|(k, _)| self.world.is_corrupt(*k) || honest >> k & 1 == 1);
        let endorsements = endorsing.map(|(_, holder)| endorse(holder)).collect();
        Quorum { statement: statement.clone(), endorsements }
    }

    fn disputing(state: &State, at: Choice) -> u8 {
        state.sent.iter().fold(0, |holders, message| match message {
            Message::Dispute(holder, of) if *of == at => holders | 1 << holder,
            _ => holders,
        })
    }

    fn judging(state: &State, at: Choice, culprit: Choice) -> u8 {
        state.sent.iter().fold(0, |holders, message| match message {
            Message::Verdict(holder, of, who) if (*of, *who) == (at, culprit) => {
                holders | 1 << holder
            }
            _ => holders,
        })
    }

    /// By counting, as an oracle beside the machines' checks.
    fn certifies(&self, honest: u8) -> bool {
        let needed = self.world.parties.study.threshold.endorsements;
        honest.count_ones() + 1 >= u32::from(needed)
    }

    /// A holder started from its disk.
    fn holder(&self, site: u8, disk: Disk) -> Holder {
        let round = self.certificate.closing.statement.round;
        let mut records = Records::default();
        if self.without != Without::Records {
            records.disputes = disk.disputed.map(|at| self.dispute(at)).into_iter().collect();
            let judged = disk.judged.iter().zip(0..);
            let judged = judged.filter_map(|(who, at)| Some(self.verdict(at, (*who)?)));
            records.verdicts = judged.collect();
        }
        if disk.settled && self.without != Without::Settled {
            records.settled = vec![round];
        }
        let study = Arc::clone(&self.world.parties.study);
        Holder::restore(study, self.world.site_id(site.into()), records, None, None)
    }

    /// Whether a holder does what it is asked, shown what these honest holders endorse.
    fn does(&self, state: &State, site: u8, asked: Asked) -> bool {
        let disk = state.disks[usize::from(site)];
        let (disputing, judging) = match asked {
            Asked::Dispute(_) => (0, 0),
            Asked::Judge(at, _) | Asked::Answer(at) => (Self::disputing(state, at), 0),
            Asked::Remove(at, culprit) => {
                (Self::disputing(state, at), Self::judging(state, at, culprit))
            }
        };
        let early = match asked {
            Asked::Answer(at) => {
                self.without == Without::CertifiedDisputes && disk.disputed == Some(at)
            }
            Asked::Remove(at, culprit) => {
                let named = disk.judged[usize::from(at)] == Some(culprit);
                self.without == Without::CertifiedVerdicts && named
            }
            _ => false,
        };
        // What it has endorsed decides on what it endorses, and nothing on what it opens: asked once.
        let disk = match asked {
            Asked::Dispute(_) => disk,
            Asked::Judge(..) => Disk { disputed: None, ..disk },
            Asked::Answer(_) | Asked::Remove(..) => {
                Disk { settled: disk.settled, ..Disk::default() }
            }
        };
        early
            || self.answers.get((site, disk, asked, disputing, judging), |_| {
                let holder = self.holder(site, disk);
                let certified =
                    |at| -> DisputeCertificate { self.quorum(&self.dispute(at), disputing) };
                let manifest = &self.world.manifest(0).signed.statement;
                let proceedings = &Proceedings::default();
                let case = Case { manifest, certificate: &self.certificate, proceedings };
                match asked {
                    Asked::Dispute(at) => {
                        let position = Position { block: 0, coefficient: at.into() };
                        let decided = holder.dispute(case, position);
                        matches!(decided, Ok(Decision::Fresh(_) | Decision::Repeat(_)))
                    }
                    Asked::Judge(at, culprit) => {
                        let culprits = BTreeSet::from([self.world.site_id(culprit.into())]);
                        holder.judge(case, Some(&certified(at)), &culprits).is_ok()
                    }
                    Asked::Answer(at) => holder.may_answer(case, &certified(at)).is_ok(),
                    Asked::Remove(at, culprit) => {
                        let verdict: VerdictCertificate =
                            self.quorum(&self.verdict(at, culprit), judging);
                        holder.may_remove(case, &certified(at), &verdict).is_ok()
                    }
                }
            })
    }
}

const CHOICES: [Choice; 2] = [0, 1];

impl Model for Disputes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let disks = vec![Disk::default(); self.world.honest()];
        vec![State { disks, sent: BTreeSet::new() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for site in 0..self.honest() {
            let does = |asked| self.does(state, site, asked);
            let fresh = |message| !state.sent.contains(&message);
            for at in CHOICES {
                if fresh(Message::Dispute(site, at)) && does(Asked::Dispute(at)) {
                    actions.push(Action::Dispute(site, at));
                }
                if fresh(Message::Functionals(at)) && does(Asked::Answer(at)) {
                    actions.push(Action::Answer(site, at));
                }
                for culprit in CHOICES {
                    let judged = Message::Verdict(site, at, culprit);
                    if fresh(judged) && does(Asked::Judge(at, culprit)) {
                        actions.push(Action::Judge(site, at, culprit));
                    }
                    let removed = Message::Keys(at, culprit);
                    if fresh(removed) && does(Asked::Remove(at, culprit)) {
                        actions.push(Action::Remove(site, at, culprit));
                    }
                }
            }
            if !state.disks[usize::from(site)].settled {
                actions.push(Action::Settle(site));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let State { disks, sent } = &mut next;
        let mut endorse = |site: u8, message| {
            let disk = &mut disks[usize::from(site)];
            match message {
                Message::Dispute(_, at) => disk.disputed = Some(at),
                Message::Verdict(_, at, culprit) => {
                    disk.judged[usize::from(at)] = Some(culprit);
                }
                _ => {}
            }
            sent.insert(message);
            if disk.settled {
                sent.insert(Message::Late);
            }
        };
        match action {
            Action::Dispute(site, at) => endorse(site, Message::Dispute(site, at)),
            Action::Judge(site, at, who) => endorse(site, Message::Verdict(site, at, who)),
            Action::Answer(_, at) => drop(sent.insert(Message::Functionals(at))),
            Action::Remove(_, at, who) => drop(sent.insert(Message::Keys(at, who))),
            Action::Settle(site) => disks[usize::from(site)].settled = true,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_DISPUTE, |model: &Self, state: &State| {
                let certified = |at: &Choice| model.certifies(Self::disputing(state, *at));
                CHOICES.iter().filter(|at| certified(at)).count() <= 1
            }),
            Property::always(ONE_VERDICT, |model: &Self, state: &State| {
                CHOICES.iter().all(|at| {
                    let certified = |who: &Choice| model.certifies(Self::judging(state, *at, *who));
                    CHOICES.iter().filter(|who| certified(who)).count() <= 1
                })
            }),
            Property::always(FUNCTIONALS, |model: &Self, state: &State| {
                state.sent.iter().all(|message| match message {
                    Message::Functionals(at) => model.certifies(Self::disputing(state, *at)),
                    _ => true,
                })
            }),
            Property::always(KEYS, |model: &Self, state: &State| {
                state.sent.iter().all(|message| match message {
                    Message::Keys(at, who) => {
                        model.certifies(Self::disputing(state, *at))
                            && model.certifies(Self::judging(state, *at, *who))
                    }
                    _ => true,
                })
            }),
            Property::always(SETTLED, |_: &Self, state: &State| {
                !state.sent.contains(&Message::Late)
            }),
            Property::sometimes(REMOVES, |_: &Self, state: &State| {
                state.sent.iter().any(|message| matches!(message, Message::Keys(..)))
            }),
        ]
    }
}

#[test]
fn disputes_keep_the_rules() {
    for sites in [4, 5] {
        let model = Disputes::new(sites, Without::Nothing);
        let checker = model.checker().spawn_bfs().join();
        for rule in [ONE_DISPUTE, ONE_VERDICT, FUNCTIONALS, KEYS, SETTLED] {
            if let Some(path) = checker.discovery(rule) {
                panic!("{sites} sites, {rule}: broken by {:?}", path.into_actions());
            }
        }
        assert!(checker.discovery(REMOVES).is_some(), "never reached: {REMOVES}");
        println!("disputes of {sites} sites: {} states", checker.unique_state_count());
    }
}

#[test]
fn disputes_without_a_rule_are_attacked() {
    for (without, rule) in [
        (Without::Records, ONE_DISPUTE),
        (Without::Records, ONE_VERDICT),
        (Without::CertifiedDisputes, FUNCTIONALS),
        (Without::CertifiedVerdicts, KEYS),
        (Without::Settled, SETTLED),
        (Without::Endorsements, ONE_DISPUTE),
        (Without::Endorsements, ONE_VERDICT),
    ] {
        let finish = HasDiscoveries::AnyOf([rule].into());
        let checker = Disputes::new(4, without).checker().finish_when(finish).spawn_bfs().join();
        let found = checker.discovery(rule);
        let path = found.unwrap_or_else(|| panic!("{without:?}: no attack on {rule:?}"));
        println!("{without:?}, {rule}: {:?}", path.into_actions());
    }
}
