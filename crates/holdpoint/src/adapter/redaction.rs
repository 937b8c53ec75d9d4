//! Takes secrets out of texts that others wrote, such as log lines, before they are kept: values
//! that are known, and what looks like one. It can't know every secret; the less is kept the better.

use secrecy::{ExposeSecret as _, SecretString};

/// What stands in a secret's place.
const HIDDEN: &str = "[hidden]";

/// Values shorter than this are too common to be taken out of every text.
const KNOWN_MIN: usize = 6;

/// Parts of a key's name that say that its value is a secret.
const TELLING: [&str; 6] = ["password", "passwd", "secret", "token", "apikey", "api_key"];

/// The text without the values of `known`, without passwords in addresses, bearer tokens and
/// values of keys whose names are telling.
pub fn redacted(text: &str, known: &[SecretString]) -> String {
    let mut text = text.to_owned();
    for secret in known {
        let secret = secret.expose_secret().trim();
        if secret.len() >= KNOWN_MIN {
            text = text.replace(secret, HIDDEN);
        }
    }
    let mut after_bearer = false;
    let words = text.split_inclusive(|one: char| one.is_whitespace() || "\"',;".contains(one));
    let words = words.map(|word| {
        let bare = word.trim_end_matches(|one: char| one.is_whitespace() || "\"',;".contains(one));
        let rest = word.get(bare.len()..).unwrap_or_default();
        let hidden =
            if after_bearer && !bare.is_empty() { Some(HIDDEN.to_owned()) } else { hide(bare) };
        // quotes and spaces may stand between the word and the token
        after_bearer = bare.eq_ignore_ascii_case("bearer") || (after_bearer && bare.is_empty());
        format!("{}{rest}", hidden.as_deref().unwrap_or(bare))
    });
    words.collect()
}

/// The word without its secret, if it seems to have one.
fn hide(word: &str) -> Option<String> {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((login, host)) = rest.rsplit_once('@')
        && !login.contains('/')
    {
        return Some(format!("{scheme}://{HIDDEN}@{host}"));
    }
    let (key, value) = word.split_once(['=', ':'])?;
    let lower = key.to_ascii_lowercase();
    let tells = TELLING.iter().any(|part| lower.contains(part)) && !value.is_empty();
    tells.then(|| format!("{key}={HIDDEN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_or_looks_like_a_secret_is_taken_out() {
        let known = [SecretString::from("p1ain-value"), SecretString::from("abc")];
        let lines = [
            "connects to postgres://shop:hunter2@db:5432/shop?sslmode=require",
            "GET /x authorization: Bearer abc.def, then more",
            "PASSWORD=hunter2 user=ada api_key:12345",
            "the value p1ain-value and abc",
            "nothing to see at https://example.com/a@b, really",
        ];
        let texts = lines.map(|line| redacted(line, &known)).join("\n");
        insta::assert_snapshot!(texts, @r"
        connects to postgres://[hidden]@db:5432/shop?sslmode=require
        GET /x authorization: Bearer [hidden], then more
        PASSWORD=[hidden] user=ada api_key=[hidden]
        the value [hidden] and abc
        nothing to see at https://example.com/a@b, really
        ");
    }
}
