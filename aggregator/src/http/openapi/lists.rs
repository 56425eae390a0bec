//! Lists that are answered with. utoipa's macros do not take a list of a generic type in an answer, so
//! that each has a name here.
#![expect(dead_code, reason = "they stand for lists that the handlers collect")]

use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Header, Opening, RestoreRequest, Review, Standing,
};
use utoipa::ToSchema;

/// Headers, in the order of the freeze.
#[derive(ToSchema)]
pub(crate) struct Headers(Vec<Signed<Header>>);

/// Reviews.
#[derive(ToSchema)]
pub(crate) struct Reviews(Vec<Signed<Review>>);

/// Statements of openings.
#[derive(ToSchema)]
pub(crate) struct Openings(Vec<Signed<Opening>>);

/// Acknowledgements.
#[derive(ToSchema)]
pub(crate) struct Acknowledgements(Vec<Signed<Acknowledgement>>);

/// Requests of sites that were restored.
#[derive(ToSchema)]
pub(crate) struct RestoreRequests(Vec<Signed<RestoreRequest>>);

/// Answers to such a request.
#[derive(ToSchema)]
pub(crate) struct Standings(Vec<Signed<Standing>>);
