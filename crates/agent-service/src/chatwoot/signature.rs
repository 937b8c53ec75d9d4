//! Whether a webhook comes from Chatwoot: `X-Chatwoot-Signature: sha256=<hex>` is the HMAC-SHA256
//! of `{timestamp}.{raw body}`, `X-Chatwoot-Timestamp` is Unix seconds (Chatwoot's pull request
//! 13573).

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// The header with the signature.
pub(crate) const SIGNATURE_HEADER: &str = "x-chatwoot-signature";
/// The header with the time of signing.
pub(crate) const TIMESTAMP_HEADER: &str = "x-chatwoot-timestamp";

/// A webhook older (or newer) than this is refused: who recorded one can't replay it later.
const TOLERANCE_SECS: i64 = 300;

/// Why a webhook isn't believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error(
        "the webhook has no `X-Chatwoot-Signature` and `X-Chatwoot-Timestamp`\nhint: set the webhook's secret in Chatwoot to one of `CHATWOOT_WEBHOOK_SECRET`"
    )]
    Missing,
    #[error("the webhook's timestamp isn't a number of seconds")]
    Timestamp,
    #[error(
        "the webhook was signed {0} seconds away from now, more than 300\nhint: check both clocks; an old delivery can't be replayed"
    )]
    Stale(i64),
    #[error(
        "the webhook's signature doesn't match its body\nhint: make `CHATWOOT_WEBHOOK_SECRET` the secret that Chatwoot shows; while it is rotated, give both with a comma between"
    )]
    Mismatch,
}

/// Checks a signature against every secret, in a time that tells nothing about either.
pub(crate) fn verify(
    secrets: &[SecretString],
    signature: Option<&str>,
    timestamp: Option<&str>,
    body: &[u8],
    now_ms: i64,
) -> Result<(), SignatureError> {
    let (signature, timestamp) = signature.zip(timestamp).ok_or(SignatureError::Missing)?;
    let signed_secs: i64 =
        timestamp.parse().map_err(|_odd: std::num::ParseIntError| SignatureError::Timestamp)?;
    let given = signature.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
    let given = given.ok_or(SignatureError::Mismatch)?;
    let matches = secrets.iter().fold(Choice::from(0), |matches, secret| {
        matches | expected(secret, timestamp, body).ct_eq(given.as_slice())
    });
    if !bool::from(matches) {
        return Err(SignatureError::Mismatch);
    }
    let distance_secs = now_ms.div_euclid(1_000).saturating_sub(signed_secs).saturating_abs();
    if distance_secs > TOLERANCE_SECS {
        return Err(SignatureError::Stale(distance_secs));
    }
    Ok(())
}

fn expected(secret: &SecretString, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_764_000_000_000;
    /// `printf '1764000000.{}' | openssl dgst -sha256 -hmac secret`
    const SIGNED: &str = "sha256=b691197929ebc73b102d12f9a4689644cb2d1a38c9f2d1883b9f478077313f85";

    fn secrets(list: &[&str]) -> Vec<SecretString> {
        list.iter().map(|secret| SecretString::from(*secret)).collect()
    }

    #[test]
    fn a_signature_made_by_openssl_is_accepted() {
        let given = secrets(&["secret"]);
        assert_eq!(verify(&given, Some(SIGNED), Some("1764000000"), b"{}", NOW_MS), Ok(()));
    }

    #[test]
    fn the_old_secret_is_accepted_while_it_is_rotated() {
        let given = secrets(&["new", "secret"]);
        assert_eq!(verify(&given, Some(SIGNED), Some("1764000000"), b"{}", NOW_MS), Ok(()));
    }

    #[test]
    fn a_changed_body_or_secret_is_refused() {
        let given = secrets(&["secret"]);
        let changed = verify(&given, Some(SIGNED), Some("1764000000"), b"{ }", NOW_MS);
        assert_eq!(changed, Err(SignatureError::Mismatch));
        let other = secrets(&["other"]);
        let wrong = verify(&other, Some(SIGNED), Some("1764000000"), b"{}", NOW_MS);
        assert_eq!(wrong, Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_old_delivery_is_refused_though_its_signature_is_right() {
        let given = secrets(&["secret"]);
        let late = verify(&given, Some(SIGNED), Some("1764000000"), b"{}", NOW_MS + 301_000);
        assert_eq!(late, Err(SignatureError::Stale(301)));
    }

    #[test]
    fn odd_headers_are_refused_and_never_panic() {
        let given = secrets(&["secret"]);
        for signature in ["", "sha256=", "sha256=zz", "sha1=00", "sha256=é"] {
            let refused = verify(&given, Some(signature), Some("1764000000"), b"{}", NOW_MS);
            assert_eq!(refused, Err(SignatureError::Mismatch), "{signature}");
        }
        let refused = verify(&given, Some(SIGNED), Some("yesterday"), b"{}", NOW_MS);
        assert_eq!(refused, Err(SignatureError::Timestamp));
        let refused = verify(&given, None, Some("1764000000"), b"{}", NOW_MS);
        assert_eq!(refused, Err(SignatureError::Missing));
        let far = i64::MIN.to_string();
        assert!(verify(&given, Some(SIGNED), Some(&far), b"{}", NOW_MS).is_err());
    }
}
