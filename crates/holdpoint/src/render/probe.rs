//! The figures of a probe, for people.

use std::time::Duration;

use super::time::human;
use crate::adapter::synthetic::Measured;

/// A verdict, and the figures that it rests on.
pub fn figures(url: &str, budget: Duration, measured: &Measured, passed: bool) -> String {
    let Measured { asked, failed, failures, figures } = measured;
    let budget = human(budget);
    let mut lines = vec![match (passed, figures) {
        (true, Some(figures)) => {
            format!("ok    {url}: P95 {} ms is within {budget}", figures.p95_ms)
        }
        (false, Some(figures)) if *failed == 0 => {
            format!("FAIL  {url}: P95 {} ms is over {budget}", figures.p95_ms)
        }
        (_, Some(_) | None) => format!("FAIL  {url}: {failed} of {asked} requests failed"),
    }];
    lines.extend(failures.iter().map(|(what, count)| format!("{count:>8} times {what}")));
    if let Some(figures) = figures {
        lines.push(format!(
            "samples   {}\nfastest   {} ms\nmean      {} ms\nP50       {} ms\nP90       {} ms\n\
             P95       {} ms\nP99       {} ms\nslowest   {} ms",
            figures.samples,
            figures.min_ms,
            figures.mean_ms,
            figures.p50_ms,
            figures.p90_ms,
            figures.p95_ms,
            figures.p99_ms,
            figures.max_ms,
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}
