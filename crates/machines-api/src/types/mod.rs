//! The objects of the Machines API as they stand on the wire.
//!
//! Reading is lenient (missing and unknown fields are fine, odd spellings are
//! understood), writing is what Fly's own client writes. Nothing is validated here.

pub mod address;
pub mod app;
pub mod check;
pub mod duration;
pub mod error_body;
pub mod event;
pub mod exec;
pub mod lease;
pub mod machine;
pub mod machine_config;
pub mod metadata;
pub mod organization;
mod reading;
pub mod region;
pub mod release;
pub mod secret;
pub mod service;
pub mod token;
pub mod volume;
pub mod wait;

pub use address::{AssignIp, IpAssignment, IpAssignments};
pub use app::{App, AppList, CreateApp, Organization};
pub use check::{Check, CheckHeader, CheckHealth, CheckStatus, CheckType};
pub use duration::{WireDuration, WireDurationError};
pub use error_body::ErrorBody;
pub use event::{EventRequest, ExitEvent, MachineEvent, MonitorEvent};
pub use exec::{ExecMachine, ExecReply, ListenSocket, ProcessStat};
pub use lease::{AcquireLease, Lease, LeaseEnvelope, MachineLease};
pub use machine::{
    CreateMachine, ImageRef, Machine, MachineState, OkReply, StartReply, StopMachine, UpdateMachine,
};
pub use machine_config::{Guest, Init, MachineConfig, Mount, Restart, RestartPolicy, StopConfig};
pub use metadata::{MetadataValue, UpdateMetadata};
pub use organization::{OrgMachine, OrgMachines, OrgVolume, OrgVolumes, OverviewConfig};
pub use region::{Region, Regions};
pub use release::MachineVersion;
pub use secret::{Secret, SecretReply, SecretValue, SecretsReply, SetSecrets};
pub use service::{Autostop, Concurrency, ConcurrencyType, Port, Service};
pub use token::{CreateDeployToken, CurrentTokens, DeployToken, TokenInfo};
pub use volume::{CreateVolume, ExtendReply, ExtendVolume, UpdateVolume, Volume};
pub use wait::{WaitReply, WaitState};
