//! The controller's endpoint of pull request 4790: change the stem cells of running invokers.
//!
//! Traps, all of them silent:
//! - The request is not merged upstream. Without the patch the call is answered 404; **with it but without the sharding
//!   balancer (function-pulling engine, standalone) it is answered 202 and does nothing**. Verify with
//!   [`crate::invoker::Invoker::stem_cells`].
//! - The body replaces the controller's own manifest: post the **whole** one or kinds vanish, from this controller only.
//! - Each accepted call destroys all idle stem cells of an invoker and creates them anew, so post on change only.
//! - Only pairs of kind and memory that the invoker had at its start can change.
//! - It has credentials of its own (`whisk.controller.username` and `.password`), not a subject's key.

use reqwest::Method;

use crate::credentials::Credentials;
use crate::error::RestError;
use crate::http::{Body, Http, Request};
use crate::manifest::Manifest;
use crate::rest::Transport;

/// A controller, addressed directly (port 10001 by default).
#[derive(Clone, Debug)]
pub struct Controller {
    http: Http,
}

/// Some of the invokers, by their numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvokerRange {
    first: u32,
    last: u8,
}

impl InvokerRange {
    /// Invokers `first` to `last`; nothing when that is empty or `last` is above 9: the endpoint's pattern has one digit.
    pub fn new(first: u32, last: u8) -> Option<Self> {
        (last <= 9 && first <= u32::from(last)).then_some(Self { first, last })
    }
}

impl Controller {
    /// The controller at `base`, with the controllers' own credentials.
    pub fn new(base: &str, credentials: Credentials, transport: &Transport) -> Result<Self, RestError> {
        Ok(Self { http: Http::new(base, credentials, transport)? })
    }

    /// Hands the whole manifest to all invokers, or to some. See the traps above: success says that it was accepted, not
    /// that anything happened. The version of March 2020 answers a `range` with 400 although it acts.
    pub async fn post_runtimes(
        &self,
        manifest: &Manifest,
        range: Option<InvokerRange>,
    ) -> Result<(), RestError> {
        let query: Vec<_> = range
            .map(|InvokerRange { first, last }| ("limit", format!("{first}:{last}")))
            .into_iter()
            .collect();
        let body = Some(Body::Text(manifest.to_json()));
        let request = Request { path: &["config", "runtime"], query: &query, body, ..Request::default() };
        let reply = self.http.send(Method::POST, request).await?;
        if (200..300).contains(&reply.status) { Ok(()) } else { Err(reply.refusal()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_of_a_range_is_one_digit() {
        assert!(InvokerRange::new(0, 9).is_some());
        assert!(InvokerRange::new(3, 3).is_some());
        assert!(InvokerRange::new(0, 10).is_none());
        assert!(InvokerRange::new(4, 3).is_none());
    }
}
