//! Several aggregators over one store: what the others have stored is taken over, as it is heard of,
//! and before each request that may need it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use ringfence_crypto::id::StudyId;

use crate::core::refusal::Refusal;
use crate::core::round_list::Found;
use crate::core::rounds::LiveStudy;
use crate::core::shared::blocking;
use crate::core::studies::{Studies, Unserved};

impl LiveStudy {
    /// Takes over what others have stored of the study. As much work as there is news.
    pub(crate) async fn catch_up(&self) -> Result<(), Refusal> {
        let mut seen = self.seen.lock().await;
        let served = &self.served;
        let Some(news) = served.statements().news(served.id, *seen).await? else { return Ok(()) };
        served.log.read_on().await?;
        if news.epochs {
            let _one_at_a_time = self.opening.lock().await;
            self.load_epochs().await?;
        }
        for number in news.rounds {
            // One that is at rest, or not here yet, is read with all of its events when it is loaded.
            if let Some(Found::Live(round)) = self.rounds.find(number) {
                round.catch_up().await?;
            }
        }
        for manifest in news.manifests {
            let _one_at_a_time = self.opening.lock().await;
            if self.rounds.find(manifest.statement.round).is_none() {
                served.log.read_on().await?;
                let round = self.load_round(manifest).await?;
                self.drive(&round);
            }
        }
        *seen = news.change;
        Ok(())
    }
}

impl Studies {
    /// Loads a study that another aggregator has registered.
    pub(crate) async fn meet(&self, id: StudyId) -> Result<(), Refusal> {
        if self.shared.store.sharing.is_none() || self.served(id).is_some() {
            return Ok(());
        }
        let _one_at_a_time = self.meeting.lock().await;
        let is_stored = self.shared.store.statements.study(id).await?.is_some();
        if !is_stored || self.served(id).is_some() {
            return Ok(());
        }
        // Nothing of it was ever acknowledged here: it is new to this aggregator.
        let marks = self.shared.marks.clone();
        let mark = blocking(move || marks.create(id)).await?;
        mark.map_err(|error| Refusal::internal(&error))?;
        let study = match self.load_study(id).await {
            Ok(study) => Ok(study),
            Err(Unserved::Study(reason)) => Err(reason),
            Err(Unserved::Everything(error)) => return Err(Refusal::internal(&error)),
        };
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.entry(id).or_insert(study);
        Ok(())
    }

    /// Takes over what others have stored of a study.
    pub(crate) async fn catch_up(&self, id: StudyId) -> Result<(), Refusal> {
        match self.served(id) {
            Some(Ok(study)) => study.catch_up().await,
            _ => Ok(()),
        }
    }

    /// Takes over what others store, as it is heard of, until the service ends.
    pub(crate) async fn follow(self: Arc<Self>) {
        let Some(mut heard) = self.shared.store.statements.follow() else { return };
        let mut stopping = self.shared.stopping.clone();
        loop {
            let first = tokio::select! {
                first = heard.recv() => first,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            let Some(first) = first else { return };
            let mut named = BTreeSet::from([first]);
            while let Ok(study) = heard.try_recv() {
                named.insert(study);
            }
            let studies: Vec<StudyId> = match named.contains(&None) {
                true => match self.shared.store.statements.studies().await {
                    Ok(all) => all,
                    Err(error) => {
                        tracing::warn!(%error, "what others have stored cannot be read");
                        continue;
                    }
                },
                false => named.into_iter().flatten().collect(),
            };
            for id in studies {
                let done = async {
                    self.meet(id).await?;
                    self.catch_up(id).await
                };
                if let Err(refusal) = done.await {
                    let reason = refusal.detail();
                    tracing::warn!(study = %id, reason, "what others have stored is not taken over");
                }
            }
        }
    }

    fn served(&self, id: StudyId) -> Option<Result<Arc<LiveStudy>, String>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}
