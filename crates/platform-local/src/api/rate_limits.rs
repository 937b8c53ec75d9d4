//! Refuses calls that come more often than Fly allows. Off unless the platform was started with
//! limits: a rehearsal shall see them, a test need not.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::{MatchedPath, Path, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::Refusal;

/// One action on one machine (or app): one in a second, three at once.
const ACTION: (u32, u32) = (1, 3);

/// Reading one machine: five in a second, ten at once.
const READ_MACHINE: (u32, u32) = (5, 10);

/// Deleting apps: so many in a minute, whichever.
const DELETIONS_A_MINUTE: u32 = 100;

/// Things that are counted at once; beyond that, those that may be called again are forgotten.
const KEYS_MAX: usize = 20_000;

/// Counts calls.
#[derive(Debug, Clone)]
pub(super) struct RateLimits(Arc<Limiters>);

#[derive(Debug)]
struct Limiters {
    actions: DefaultKeyedRateLimiter<String>,
    machine_reads: DefaultKeyedRateLimiter<String>,
    app_deletions: DefaultKeyedRateLimiter<String>,
}

impl RateLimits {
    pub(super) fn new() -> Self {
        let a_second =
            |(rate, burst)| Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst));
        Self(Arc::new(Limiters {
            actions: RateLimiter::keyed(a_second(ACTION)),
            machine_reads: RateLimiter::keyed(a_second(READ_MACHINE)),
            app_deletions: RateLimiter::keyed(Quota::per_minute(at_least_one(DELETIONS_A_MINUTE))),
        }))
    }

    /// Counts this call; whether it may be made now.
    fn allow(&self, method: &Method, route: &str, of: &str) -> bool {
        let machine = "/v1/apps/{app}/machines/{machine}";
        let (limiter, key) = match (method, route) {
            (&Method::GET, route) if route == machine => (&self.0.machine_reads, of.to_owned()),
            (&Method::DELETE, "/v1/apps/{app}") => (&self.0.app_deletions, String::new()),
            _ => (&self.0.actions, format!("{method} {route} {of}")),
        };
        if limiter.len() > KEYS_MAX {
            limiter.retain_recent();
        }
        limiter.check_key(&key).is_ok()
    }
}

/// Refuses a call that comes too soon with 429.
pub(super) async fn limit(
    State(limits): State<RateLimits>,
    route: MatchedPath,
    Path(names): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    // The app or the machine: what further names stand for are parts of these.
    let of: Vec<&str> = names.iter().take(2).map(|(_, name)| name.as_str()).collect();
    if limits.allow(request.method(), route.as_str(), &of.join("/")) {
        return next.run(request).await;
    }
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded").into_response()
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_on_each_machine_is_counted_by_itself() {
        let limits = RateLimits::new();
        let stop = "/v1/apps/{app}/machines/{machine}/stop";
        let stops = |of: &str| (0..5).filter(|_| limits.allow(&Method::POST, stop, of)).count();
        // A second may pass meanwhile on a busy computer, hence the ranges.
        assert!((3..=4).contains(&stops("shop/1")));
        assert!((3..=4).contains(&stops("shop/2")));
        let read = "/v1/apps/{app}/machines/{machine}";
        let reads = (0..20).filter(|_| limits.allow(&Method::GET, read, "shop/1")).count();
        assert!((10..=15).contains(&reads), "{reads}");
        let deletion = "/v1/apps/{app}";
        let deletions =
            (0..150).filter(|n| limits.allow(&Method::DELETE, deletion, &n.to_string()));
        assert!((100..=105).contains(&deletions.count()));
    }
}
