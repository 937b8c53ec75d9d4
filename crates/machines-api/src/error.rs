//! What a failed call means for its caller: refused, worth repeating, or unknown.
//! The decision is made here, from the status and from how far the call got; this
//! module repeats nothing itself.

use std::fmt;

use thiserror::Error;

/// A call to the Machines API that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ApiError {
    /// What was tried and on what, for example "update machine `x` of app `y`".
    pub operation: String,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The API's own words, or how the transport failed.
    pub message: String,
    pub class: ErrorClass,
}

/// Whether a failed call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The server said no; the same call gets the same answer.
    Refused,
    /// Nothing was changed; the same call may succeed later.
    Retry,
    /// The call may have taken effect: look before repeating it.
    Unknown,
}

/// Whether a call changes anything on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
}

impl ErrorClass {
    /// The class of an answer that isn't a success. 429, 502 and 503 are what
    /// Fly's own client repeats for every method; a 408 of a write is ambiguous,
    /// because the machine may exist.
    pub(crate) const fn of_status(status: u16, effect: Effect) -> Self {
        match (status, effect) {
            (429 | 502 | 503, Effect::Read | Effect::Write) => Self::Retry,
            (408 | 500.., Effect::Read) => Self::Retry,
            (408 | 500.., Effect::Write) => Self::Unknown,
            (_, Effect::Read | Effect::Write) => Self::Refused,
        }
    }

    /// The class of a call that got no complete answer.
    pub(crate) const fn of_lost_answer(effect: Effect) -> Self {
        match effect {
            Effect::Read => Self::Retry,
            Effect::Write => Self::Unknown,
        }
    }
}

impl ApiError {
    /// There is no such app, machine, lease or metadata key.
    pub fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// Someone else holds the machine's lease. Fly's clients go by this text too,
    /// since 409 also means that a host has no room.
    pub fn is_lease_conflict(&self) -> bool {
        self.status == Some(409) && self.message.contains("lease currently held")
    }

    /// The name of a new app is in use.
    pub fn is_name_taken(&self) -> bool {
        self.status == Some(422) && self.message.contains("taken")
    }

    /// `wait` ended before the machine reached the state.
    pub fn is_wait_timeout(&self) -> bool {
        self.status == Some(408) && self.class == ErrorClass::Retry
    }

    fn hint(&self) -> &'static str {
        if self.is_lease_conflict() {
            return "wait until the lease expires, or let its holder finish";
        }
        match (self.status, self.class) {
            (Some(401), _) => "set a token that the API accepts",
            (Some(403), _) => "use a token of the organization that owns the app",
            (Some(404), _) => "check the name of the app and the id of the machine",
            (Some(412), _) => "read the machine again: it is not in the state that you expect",
            (Some(429), _) => "wait a second and repeat the call",
            (None, ErrorClass::Retry) => "check that the API answers at its address, then repeat",
            (_, ErrorClass::Retry) => "repeat the call",
            (_, ErrorClass::Unknown) => {
                "it may have taken effect all the same: look at the result before you repeat it"
            }
            (_, ErrorClass::Refused) => "change what the message names, then repeat",
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "could not {}: ", self.operation)?;
        if let Some(status) = self.status {
            write!(formatter, "the API answered {status}: ")?;
        }
        write!(formatter, "{}\nhint: {}", self.message, self.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_a_call_may_be_repeated() {
        use ErrorClass::{Refused, Retry, Unknown};
        for (status, read, write) in [
            (302, Refused, Refused),
            (400, Refused, Refused),
            (401, Refused, Refused),
            (404, Refused, Refused),
            (408, Retry, Unknown),
            (409, Refused, Refused),
            (412, Refused, Refused),
            (422, Refused, Refused),
            (429, Retry, Retry),
            (500, Retry, Unknown),
            (502, Retry, Retry),
            (503, Retry, Retry),
            (504, Retry, Unknown),
        ] {
            assert_eq!(ErrorClass::of_status(status, Effect::Read), read, "read {status}");
            assert_eq!(ErrorClass::of_status(status, Effect::Write), write, "write {status}");
        }
    }

    #[test]
    fn a_held_lease_is_told_with_its_mend() {
        let error = ApiError {
            operation: "update machine `1` of app `shop`".to_owned(),
            status: Some(409),
            message: "machine ID 1 lease currently held by a@tokens.fly.io".to_owned(),
            class: ErrorClass::Refused,
        };
        assert!(error.is_lease_conflict());
        insta::assert_snapshot!(error, @"
        could not update machine `1` of app `shop`: the API answered 409: machine ID 1 lease currently held by a@tokens.fly.io
        hint: wait until the lease expires, or let its holder finish
        ");
    }

    #[test]
    fn a_full_host_is_no_lease_conflict() {
        let error = ApiError {
            operation: "create a machine".to_owned(),
            status: Some(409),
            message: "aborted: could not reserve resource for machine".to_owned(),
            class: ErrorClass::Refused,
        };
        assert!(!error.is_lease_conflict());
    }
}
