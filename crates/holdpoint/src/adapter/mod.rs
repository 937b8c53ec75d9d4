//! The adapters: one per thing in the world that effects and observations pass through.

pub mod app_logs;
pub mod build;
pub mod clock;
pub mod company_calendar;
pub mod diagnostics;
pub mod documents;
pub mod faults;
pub(crate) mod files;
mod http_client;
pub mod invariant;
pub mod journal_sql;
pub mod latency;
pub mod lock;
pub mod notify;
pub mod platform;
pub mod preflight;
pub mod probe;
mod project_command;
pub mod prometheus_text;
pub mod redaction;
pub mod section;
pub mod smoke;
pub mod synthetic;
pub mod telemetry;
pub mod vcs;
