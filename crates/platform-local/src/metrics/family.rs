//! Every metric that the platform has: its name, its kind, its labels, and what it says. The table
//! in `docs/metrics.md` is this one.

/// A metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The labels beside `app`, `region` and `host`, which every series has.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test of the page reads it"))]
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind, labels, help }
}

const INSTANCE: &[&str] = &["instance"];

pub(super) const EDGE_RESPONSES: Family = family(
    "fly_edge_http_responses_count",
    Kind::Counter,
    &["status"],
    "What clients got: answers of machines, and the proxy's own where no machine gave one.",
);
pub(super) const EDGE_TIMES: Family = family(
    "fly_edge_http_response_time_seconds",
    Kind::Histogram,
    &[],
    "From a client's request to the beginning of its answer, waiting for a machine included.",
);
pub(super) const RETRIES: Family = family(
    "platform_local_proxy_retries_total",
    Kind::Counter,
    &["cause"],
    "Attempts to have a request answered that were repeated, `refused` or `broken`.",
);
pub(super) const HANDSHAKE_ERRORS: Family = family(
    "fly_edge_tls_handshake_errors",
    Kind::Counter,
    &[],
    "TLS handshakes that failed or took too long; without an app where none of this name is.",
);
pub(super) const HANDSHAKE_TIMES: Family = family(
    "fly_edge_tls_handshake_time_seconds",
    Kind::Histogram,
    &[],
    "From a connection to the end of its TLS handshake.",
);
pub(super) const APP_RESPONSES: Family = family(
    "fly_app_http_responses_count",
    Kind::Counter,
    &["instance", "status"],
    "Answers that a machine gave, or that a fault put in their place.",
);
pub(super) const APP_TIMES: Family = family(
    "fly_app_http_response_time_seconds",
    Kind::Histogram,
    INSTANCE,
    "From handing a request to a machine to the beginning of its answer.",
);
pub(super) const CONNECT_TIMES: Family = family(
    "fly_app_connect_time_seconds",
    Kind::Histogram,
    INSTANCE,
    "How long the proxy took to connect to a machine; connections are kept and used again.",
);
pub(super) const CONCURRENCY: Family =
    family("fly_app_concurrency", Kind::Gauge, INSTANCE, "Requests that are with a machine now.");
pub(super) const UP: Family =
    family("fly_instance_up", Kind::Gauge, INSTANCE, "1 while the machine is `started`.");
pub(super) const EXIT_CODE: Family = family(
    "fly_instance_exit_code",
    Kind::Gauge,
    INSTANCE,
    "How the machine's last program ended: its status, or 128 and the signal.",
);
pub(super) const EXIT_OOM: Family = family(
    "fly_instance_exit_oom",
    Kind::Gauge,
    INSTANCE,
    "1 if the machine's last program was killed for want of memory.",
);
pub(super) const MEMORY_TOTAL: Family = family(
    "fly_instance_memory_mem_total",
    Kind::Gauge,
    INSTANCE,
    "Bytes of memory that the machine may use.",
);
pub(super) const MEMORY_FREE: Family = family(
    "fly_instance_memory_mem_free",
    Kind::Gauge,
    INSTANCE,
    "Bytes of it that nothing uses, file cache included.",
);
pub(super) const MEMORY_AVAILABLE: Family = family(
    "fly_instance_memory_mem_available",
    Kind::Gauge,
    INSTANCE,
    "Bytes of it that programs could still get: free, or file cache that can be given up.",
);
pub(super) const PROCESSOR: Family = family(
    "fly_instance_cpu",
    Kind::Counter,
    &["instance", "cpu_id", "mode"],
    "Hundredths of a second that the machine's program and its children that have ended computed, `user` or `system`.",
);
pub(super) const LOAD: Family = family(
    "fly_instance_load_average",
    Kind::Gauge,
    &["instance", "minutes"],
    "The load average that a program in the machine reads: that of this computer.",
);
pub(super) const RESTARTS: Family = family(
    "platform_local_machine_restarts_total",
    Kind::Counter,
    INSTANCE,
    "Programs that were started again after they had ended by themselves.",
);
pub(super) const OOM_KILLS: Family = family(
    "platform_local_machine_oom_kills_total",
    Kind::Counter,
    INSTANCE,
    "Programs that were killed for want of memory.",
);

/// All of them, in the order in which they are written.
#[cfg(test)]
pub(super) const FAMILIES: [&Family; 19] = [
    &EDGE_RESPONSES,
    &EDGE_TIMES,
    &RETRIES,
    &HANDSHAKE_ERRORS,
    &HANDSHAKE_TIMES,
    &APP_RESPONSES,
    &APP_TIMES,
    &CONNECT_TIMES,
    &CONCURRENCY,
    &UP,
    &EXIT_CODE,
    &EXIT_OOM,
    &MEMORY_TOTAL,
    &MEMORY_FREE,
    &MEMORY_AVAILABLE,
    &PROCESSOR,
    &LOAD,
    &RESTARTS,
    &OOM_KILLS,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(family: &Family) -> String {
        let common = ["app", "region", "host"];
        let labels: Vec<_> =
            common.iter().chain(family.labels).map(|label| format!("`{label}`")).collect();
        let (name, kind) = (family.name, family.kind.as_str());
        format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), family.help)
    }

    #[test]
    fn the_page_about_metrics_has_every_metric_and_no_other() {
        let page = include_str!("../../../../docs/metrics.md");
        let told: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let there: Vec<_> = FAMILIES.into_iter().map(row).collect();
        assert_eq!(told, there, "the rows should be\n{}\n", there.join("\n"));
    }
}
