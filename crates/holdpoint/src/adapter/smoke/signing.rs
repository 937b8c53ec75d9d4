//! Signs a request as the senders of webhooks do. Whether the receiver believes it is what the
//! check shows.

use hmac::{Hmac, KeyInit, Mac};
use holdpoint_core::project::smoke::Signature;
use sha2::Sha256;

/// The headers that prove that whoever has the secret sent this body at this time.
pub(super) fn headers(
    signature: &Signature,
    secret: &str,
    now_secs: i64,
    body: &str,
) -> Vec<(String, String)> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    let mut headers = Vec::new();
    if let Some(name) = &signature.timestamp_header {
        mac.update(format!("{now_secs}.").as_bytes());
        headers.push((name.clone(), now_secs.to_string()));
    }
    mac.update(body.as_bytes());
    let digits = hex::encode(mac.finalize().into_bytes());
    headers.push((signature.header.clone(), format!("sha256={digits}")));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_openssl() {
        let mut signature = Signature {
            secret: "KEY".to_owned(),
            header: "x-signature".to_owned(),
            timestamp_header: Some("x-timestamp".to_owned()),
        };
        // `printf '1764000000.{}' | openssl dgst -sha256 -hmac secret`
        let with_time = "sha256=b691197929ebc73b102d12f9a4689644cb2d1a38c9f2d1883b9f478077313f85";
        let expected = [("x-timestamp", "1764000000"), ("x-signature", with_time)];
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let signed = headers(&signature, "secret", 1_764_000_000, "{}");
        assert_eq!(signed, expected.map(pair));
        signature.timestamp_header = None;
        // `printf '{}' | openssl dgst -sha256 -hmac secret`
        let plain = "sha256=77325902caca812dc259733aacd046b73817372c777b8d95b402647474516e13";
        let signed = headers(&signature, "secret", 1_764_000_000, "{}");
        assert_eq!(signed, [("x-signature", plain)].map(pair));
    }
}
