//! Flags of `holdpoint probe`.

use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use reqwest::{Method, Url};

use super::Reading;

/// The longest budget.
const BUDGET_MAX: Duration = Duration::from_mins(1);

/// `holdpoint probe`.
#[derive(Clone, Debug, Args)]
pub struct Probe {
    /// What is asked, as `https://HOST/PATH`
    #[arg(value_parser = url)]
    pub url: Url,
    /// What 95 % of the answers must arrive within
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = budget)]
    pub budget: Duration,
    /// How often it is asked
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,
    /// How many requests are under way at once
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: Method,
    /// The status that counts as success [default: 200 to 299]
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    pub expect_status: Option<u16>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(Url::has_host);
    url.ok_or_else(|| "write it whole, as `https://example.com/health`".to_owned())
}

fn budget(text: &str) -> Result<Duration, String> {
    let length: Option<Duration> =
        text.parse::<SignedDuration>().ok().and_then(|length| length.try_into().ok());
    let length = length.filter(|length| !length.is_zero() && *length <= BUDGET_MAX);
    length.ok_or_else(|| "write a time up to 1m, as `500ms` or `2s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_unit_and_an_end() {
        assert_eq!(budget("500ms"), Ok(Duration::from_millis(500)));
        for text in ["500", "0s", "-1s", "2h", "soon"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_asked_is_a_whole_address() {
        assert!(url("https://example.com/health").is_ok());
        for text in
            ["example.com", "/health", "ftp://example.com/", "file:///etc/passwd", "http://"]
        {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
