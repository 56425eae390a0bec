//! Requests that go another way than over a network: to a service in the same process.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Request, Response, ResponseBuilderExt};
use ringfence_clock::Clock;

/// What a [`Carrier`] brings back.
pub type Carried = Pin<Box<dyn Future<Output = io::Result<http::Response<Bytes>>> + Send>>;

/// Brings requests to an aggregator, and its answers back: what a network does, for simulations of one.
///
/// A request is whole, with its body and with what shows whose it is. The error is what a network would
/// say: [`io::ErrorKind::ConnectionRefused`] where nobody listens, others where the way is broken. One
/// that never comes back is given up by the transport's clock.
pub trait Carrier: Debug + Send + Sync {
    /// Brings one request, and its answer back.
    fn carry(&self, request: http::Request<Bytes>) -> Carried;
}

/// Sends a request by a carrier; given up after the request's own time.
///
/// # Errors
/// As from a network: what the carrier says, or that it took too long.
pub(super) async fn send(
    carrier: &dyn Carrier,
    request: Request,
    clock: &Clock,
) -> reqwest::Result<Response> {
    let (url, time) = (request.url().clone(), request.timeout().copied());
    let (parts, body) = http::Request::<Body>::try_from(request)?.into_parts();
    let body = Response::from(http::Response::new(body)).bytes().await?;
    let carried = carrier.carry(http::Request::from_parts(parts, body));
    let answer = match time {
        Some(time) => match clock.timeout(time, carried).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        },
        None => carried.await,
    };
    match answer {
        Ok(answer) => {
            let (mut parts, body) = answer.into_parts();
            let with_url = http::Response::builder().url(url).body(()).ok();
            let extensions = with_url.map(|response| response.into_parts().0.extensions);
            parts.extensions.extend(extensions.unwrap_or_default());
            Ok(Response::from(http::Response::from_parts(parts, body)))
        }
        Err(error) => broken(error).await,
    }
}

/// What the HTTP client makes of an error of the network.
async fn broken(error: io::Error) -> reqwest::Result<Response> {
    let body = Body::wrap_stream(stream::iter([Err::<Bytes, io::Error>(error)]));
    let mut response = Response::from(http::Response::new(body));
    response.chunk().await?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_crypto::id::UnixSeconds;

    use super::*;
    use crate::transport::{Transport, TransportError};

    /// Answers each request with the same; silence where there is nothing to answer.
    #[derive(Debug)]
    struct Same(Option<io::ErrorKind>);

    impl Carrier for Same {
        fn carry(&self, request: http::Request<Bytes>) -> Carried {
            let kind = self.0;
            Box::pin(async move {
                match kind {
                    Some(kind) => Err(kind.into()),
                    None if request.uri().path() == "/v2/silent" => std::future::pending().await,
                    None => {
                        let mut said = format!("{} {}: ", request.method(), request.uri());
                        said += std::str::from_utf8(request.body()).unwrap();
                        Ok(http::Response::new(said.into()))
                    }
                }
            })
        }
    }

    fn transport(kind: Option<io::ErrorKind>) -> (Transport, ringfence_clock::Hand) {
        let (clock, hand) = Clock::mock(UnixSeconds(0));
        let url = "http://127.0.0.1:9";
        let carrier = std::sync::Arc::new(Same(kind));
        (Transport::through(carrier, url, clock).unwrap().saying_at_once(), hand)
    }

    #[tokio::test]
    async fn a_request_is_carried_whole_and_so_is_its_answer() {
        let (transport, _hand) = transport(None);
        let post = |url| transport.client.post(url).body("body");
        let answer = transport.bytes("studies", 1000, post).await.unwrap();
        let expected = "POST http://127.0.0.1:9/v2/studies: body";
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
        let short = transport.bytes("studies", 10, |url| transport.client.get(url)).await;
        let Err(TransportError::TooLong { url, .. }) = short else { panic!("{short:?}") };
        assert_eq!(url, "http://127.0.0.1:9/v2/studies");
    }

    #[tokio::test]
    async fn a_broken_way_is_an_aggregator_that_is_away() {
        let (refused, _hand) = transport(Some(io::ErrorKind::ConnectionRefused));
        let get = |url| refused.client.get(url);
        let error = refused.bytes("studies", 1000, get).await.unwrap_err();
        assert!(matches!(error, TransportError::ClosedPort { .. }), "{error}");
        let (reset, hand) = transport(Some(io::ErrorKind::ConnectionReset));
        let asking = tokio::spawn(async move {
            let get = |url| reset.client.get(url);
            reset.bytes("studies", 1000, get).await
        });
        while !asking.is_finished() {
            hand.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        let error = asking.await.unwrap().unwrap_err();
        assert!(matches!(error, TransportError::Network { .. }) && error.is_away(), "{error}");
    }

    #[tokio::test]
    async fn silence_is_given_up_by_the_clock() {
        let (transport, hand) = transport(None);
        let asking = tokio::spawn(async move {
            let silent = transport.with_patience(Duration::ZERO);
            silent.bytes("silent", 1000, |url| silent.client.get(url)).await
        });
        tokio::task::yield_now().await;
        assert!(!asking.is_finished());
        hand.advance(Duration::from_secs(10));
        let error = asking.await.unwrap().unwrap_err();
        assert!(matches!(error, TransportError::NoAnswer { seconds: 10, .. }), "{error}");
    }
}
