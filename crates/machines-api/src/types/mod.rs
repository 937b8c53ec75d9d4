//! The objects of the Machines API as they stand on the wire.
//!
//! Reading is lenient (missing and unknown fields are fine, odd spellings are
//! understood), writing is what Fly's own client writes. Nothing is validated here.

pub mod app;
pub mod check;
pub mod duration;
pub mod error_body;
pub mod event;
pub mod lease;
pub mod machine;
pub mod machine_config;
mod reading;
pub mod release;
pub mod secret;
pub mod service;
pub mod wait;

pub use app::{App, AppList, CreateApp, Organization};
pub use check::{Check, CheckHeader, CheckHealth, CheckStatus, CheckType};
pub use duration::{WireDuration, WireDurationError};
pub use error_body::ErrorBody;
pub use event::{EventRequest, ExitEvent, MachineEvent, MonitorEvent};
pub use lease::{AcquireLease, Lease, LeaseEnvelope, MachineLease};
pub use machine::{
    CreateMachine, ImageRef, Machine, MachineState, MetadataValue, OkReply, StartReply,
    StopMachine, UpdateMachine,
};
pub use machine_config::{Guest, Init, MachineConfig, Mount, Restart, RestartPolicy, StopConfig};
pub use release::MachineVersion;
pub use secret::{Secret, SecretsReply, SetSecrets};
pub use service::{Autostop, Concurrency, ConcurrencyType, Port, Service};
pub use wait::{WaitReply, WaitState};
