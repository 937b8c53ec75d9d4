//! What a failed call means for its effect. The class comes from the client; here it meets what
//! the call was about.

use holdpoint_core::effect::{Failure, Outcome, Refusal, RefusalKind};
use machines_api::error::{ApiError, ErrorClass};

/// The outcome of a call that was made under no lease of ours.
pub(super) fn of(error: &ApiError) -> Outcome {
    let kind = if error.is_lease_conflict() {
        RefusalKind::LeaseHeldByOther
    } else if error.is_not_found() {
        RefusalKind::NotFound
    } else {
        RefusalKind::Other
    };
    with_kind(error, kind)
}

/// The outcome of a call that was made under our lease: a refusal that speaks of a lease means
/// that ours counts no longer, whoever holds one now.
pub(super) fn under_lease(error: &ApiError) -> Outcome {
    let is_about_lease = error.status.is_some_and(|status| (400..500).contains(&status))
        && (error.message.contains("lease") || error.message.contains("nonce"));
    if is_about_lease { with_kind(error, RefusalKind::LeaseLost) } else { of(error) }
}

/// Something is not as it must be, and asking again won't change it.
pub(super) fn refused(message: impl Into<String>) -> Outcome {
    Outcome::Refused(Refusal { kind: RefusalKind::Other, message: message.into() })
}

/// It was not done, and another attempt may do it.
pub(super) fn failed(message: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure { message: message.into() })
}

fn with_kind(error: &ApiError, kind: RefusalKind) -> Outcome {
    let message = in_one_line(error);
    match error.class {
        ErrorClass::Refused => Outcome::Refused(Refusal { kind, message }),
        ErrorClass::Retry => Outcome::Failed(Failure { message }),
        ErrorClass::Unknown => {
            tracing::warn!(%message, "a call's outcome is unknown");
            Outcome::Unknown
        }
    }
}

/// What happened, without the hint for a person at a terminal: records hold one sentence.
fn in_one_line(error: &ApiError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, message: &str, class: ErrorClass) -> ApiError {
        let operation = "update machine `1` of app `shop`".to_owned();
        ApiError { operation, status: Some(status), message: message.to_owned(), class }
    }

    fn kind(outcome: Outcome) -> Option<RefusalKind> {
        if let Outcome::Refused(refusal) = outcome { Some(refusal.kind) } else { None }
    }

    #[test]
    fn a_held_lease_is_anothers_before_we_have_one_and_lost_after() {
        let held = error(409, "machine ID 1 lease currently held by a@b", ErrorClass::Refused);
        assert_eq!(kind(of(&held)), Some(RefusalKind::LeaseHeldByOther));
        assert_eq!(kind(under_lease(&held)), Some(RefusalKind::LeaseLost));
        let gone = error(404, "machine not found", ErrorClass::Refused);
        assert_eq!(kind(under_lease(&gone)), Some(RefusalKind::NotFound));
        let bad = error(422, "invalid config", ErrorClass::Refused);
        assert_eq!(kind(under_lease(&bad)), Some(RefusalKind::Other));
    }

    #[test]
    fn what_may_have_happened_is_unknown() {
        assert_eq!(of(&error(500, "oops", ErrorClass::Unknown)), Outcome::Unknown);
        let again = of(&error(503, "busy", ErrorClass::Retry));
        assert!(matches!(again, Outcome::Failed(failure) if !failure.message.contains("hint")));
    }
}
