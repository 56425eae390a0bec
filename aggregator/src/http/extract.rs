//! What requests are made of, parsed at the edge into types that cannot be wrong.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::log::Tile;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::wire::{frame, json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::core::incoming::Incoming;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;
use crate::core::upload::LiveContribution;
use crate::http::front::Front;

/// The study that the path names, if nothing that was acknowledged is missing in it.
pub(crate) struct OfStudy(pub(crate) Arc<LiveStudy>);

/// The study that the path names, also while statements are missing in it.
pub(crate) struct OfRecoveringStudy(pub(crate) Arc<LiveStudy>);

/// The study that the path names, which may wait for signatures.
pub(crate) struct OfDraft(pub(crate) StudyId);

/// The round that the path names.
pub(crate) struct OfRound(pub(crate) Arc<LiveRound>);

/// The site that the path names.
pub(crate) struct OfSite(pub(crate) SiteId);

/// The holder that the path names.
pub(crate) struct OfHolder(pub(crate) SiteId);

/// The index of a dispute that the path names; 0 is the verdict on check words.
pub(crate) struct OfIndex(pub(crate) u16);

/// The number of an epoch that the path names.
pub(crate) struct OfNumber(pub(crate) u32);

/// The contribution that the path names.
pub(crate) struct OfContribution(pub(crate) LiveContribution);

/// The tile of the log that the rest of the path names.
pub(crate) struct OfTile(pub(crate) Tile);

/// The query's parameters; unknown ones are refused.
pub(crate) struct Parameters<T>(pub(crate) T);

/// The signed statement in the request's body.
pub(crate) struct Stated<T>(pub(crate) Signed<T>);

impl FromRequestParts<Front> for OfStudy {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Refusal> {
        let OfRecoveringStudy(study) = OfRecoveringStudy::from_request_parts(parts, front).await?;
        study.served.log.check_current()?;
        Ok(Self(study))
    }
}

impl FromRequestParts<Front> for OfRecoveringStudy {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Refusal> {
        let id = segment(parts, "study").await?;
        let id = id.parse().map_err(|error| Refusal::missing(format!("{error}")))?;
        front.studies.study(id).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for OfDraft {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let id = segment(parts, "study").await?;
        id.parse().map(Self).map_err(|error| Refusal::missing(format!("{error}")))
    }
}

impl FromRequestParts<Front> for OfRound {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Refusal> {
        let OfStudy(study) = OfStudy::from_request_parts(parts, front).await?;
        let number = segment(parts, "round").await?;
        let number = number.parse().map_err(|_| {
            Refusal::missing(format!("expected a round number in the path, got {number:?}"))
        })?;
        study.round(number).await.map(Self)
    }
}

impl FromRequestParts<Front> for OfContribution {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Self, Refusal> {
        let OfRound(live) = OfRound::from_request_parts(parts, front).await?;
        let OfSite(site) = OfSite::from_request_parts(parts, front).await?;
        Ok(Self(LiveContribution { live, site }))
    }
}

impl<S: Sync> FromRequestParts<S> for OfSite {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        site(segment(parts, "site").await?).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for OfHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        site(segment(parts, "holder").await?).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for OfIndex {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let index = segment(parts, "index").await?;
        let index = index.parse().map_err(|_| {
            Refusal::missing(format!("expected the index of a dispute in the path, got {index:?}"))
        })?;
        Ok(Self(index))
    }
}

impl<S: Sync> FromRequestParts<S> for OfNumber {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let number = segment(parts, "number").await?;
        let number = number.parse().map_err(|_| {
            Refusal::missing(format!("expected the number of an epoch in the path, got {number:?}"))
        })?;
        Ok(Self(number))
    }
}

impl<S: Sync> FromRequestParts<S> for OfTile {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let tile = segment(parts, "tile").await?;
        tile.parse().map(Self).map_err(|error| Refusal::missing(format!("{error}")))
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Refusal::malformed(error.body_text()))?;
        Ok(Self(parameters))
    }
}

impl FromRequest<Front> for Incoming {
    type Rejection = Refusal;

    async fn from_request(request: Request, front: &Front) -> Result<Self, Refusal> {
        Ok(front.incoming(request))
    }
}

impl<T: Statement> FromRequest<Front> for Stated<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, front: &Front) -> Result<Self, Refusal> {
        let incoming = front.incoming(request);
        let message = front.inbox.read(incoming, json::MAX_MESSAGE).await?;
        Ok(Self(json::parse(&message.bytes, json::MAX_MESSAGE, T::LABEL)?))
    }
}

/// What stands in the path under a name.
pub(crate) async fn segment(parts: &mut Parts, name: &str) -> Result<String, Refusal> {
    let segments = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| Refusal::malformed(error.body_text()))?;
    let value =
        segments.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Refusal::missing(format!("the path names no {name}")))
}

fn site(name: String) -> Result<SiteId, Refusal> {
    name.parse().map_err(|error| Refusal::missing(format!("{error}")))
}

/// Reads one binary frame.
pub(crate) async fn binary<T: DeserializeOwned>(
    front: &Front,
    incoming: Incoming,
    expected: &'static str,
) -> Result<T, Refusal> {
    let message = front.inbox.read(incoming, frame::MAX_FRAME).await?;
    Ok(frame::decode(&message.bytes, expected)?)
}

/// The path and the statement must name the same site.
pub(crate) fn same_site(path: &SiteId, statement: &SiteId) -> Result<(), Refusal> {
    match path == statement {
        true => Ok(()),
        false => Err(Refusal::message(format!(
            "the path names {path}, the statement {statement}; put it under the site that signed it"
        ))),
    }
}

/// Where a long list goes on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// How many the client has already.
    #[serde(default)]
    pub(crate) from: usize,
}
