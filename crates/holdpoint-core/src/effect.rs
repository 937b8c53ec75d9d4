//! What the engine asks the world to do, and what the world may answer.
//!
//! Effects are data. Whoever performs one must be idempotent by its id: look first whether it was
//! already done, then do it. A `Done` that arrives twice is harmless.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AppName, EffectId, Environment, InstanceId, MachineId, ReleaseId, ServiceName};

use crate::document::Document;

pub use crate::notice::{About, Delivery, Fact, Milestone, Notice, NoticeKind};

/// Something to be done in the world. Durations in effects are real seconds, also in a rehearsal:
/// platforms and programs do not run faster because a clock is scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Establish the facts that must hold before a release (the runbook's pre-deployment
    /// check-list). Answers with [`Evidence::Checks`].
    Preflight {
        /// The release, for the checks that look at its version.
        release: ReleaseId,
        /// Its version.
        version: String,
    },
    /// Ask the service the questions of its smoke checks. Answers with [`Evidence::Checks`].
    Smoke {
        /// The service.
        service: ServiceName,
        /// Where.
        environment: Environment,
        /// Its app.
        app: AppName,
    },
    /// Put an app's secrets back to the values they had at a version. Values stay in the executor.
    RestoreSecrets {
        /// The app.
        app: AppName,
        /// The version whose values shall hold again.
        version: u64,
    },
    /// Take a machine's lease. Answers with [`Evidence::Lease`].
    AcquireLease {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// A lease of ours that may still be held; it is given up first, so that calls made
        /// under it and still under way are refused by the platform.
        supersedes: Option<String>,
        /// For how long.
        ttl_secs: u64,
    },
    /// Take a machine out of the rotation.
    Cordon {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// Our lease.
        nonce: String,
    },
    /// Create a machine outside the rotation, the effect's id in its metadata. Answers with
    /// [`Evidence::Machine`].
    CreateMachine {
        /// The app.
        app: AppName,
        /// The machine's name, the same at each attempt.
        name: String,
        /// Where it shall run.
        region: String,
        /// Its whole config, image included.
        config: Value,
        /// The lowest version of the app's secrets that it must see.
        secrets_version: Option<u64>,
    },
    /// Replace a machine's whole config, the effect's id in its metadata. Answers with
    /// [`Evidence::Machine`].
    UpdateMachine {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// Its whole config, image included.
        config: Value,
        /// The lowest version of the app's secrets that it must see.
        secrets_version: Option<u64>,
        /// Our lease.
        nonce: String,
    },
    /// Stop a machine. With no id, look for the machine that the effect `created_by` made; if
    /// there is none, there is nothing to stop.
    StopMachine {
        /// The app.
        app: AppName,
        /// The machine, where its id is known.
        machine: Option<MachineId>,
        /// The effect that may have made it.
        created_by: EffectId,
    },
    /// Wait until the machine is started and all its checks pass. Fails early if it exits.
    /// Answers with [`Evidence::Healthy`].
    AwaitHealth {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// The version of the machine that must become healthy.
        instance_id: InstanceId,
        /// For how long to wait at most.
        within_secs: u64,
    },
    /// Put a machine into the rotation.
    Uncordon {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// Our lease, where one is held.
        nonce: Option<String>,
    },
    /// Give a lease back. A lease that is gone is as good as given back.
    ReleaseLease {
        /// The app.
        app: AppName,
        /// The machine.
        machine: MachineId,
        /// Our lease.
        nonce: String,
    },
    /// Tell people on one channel.
    Notify(Box<Delivery>),
    /// Write something that is no line of the reliability log, unless it was written already.
    Write(Box<Document>),
    /// Append lines to a document, unless they are there already.
    Document {
        /// The document, relative to the project's file.
        file: String,
        /// The lines, in the runbook's own format.
        lines: Vec<String>,
    },
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done, now or before.
    Done(Evidence),
    /// The world understood and said no; the same request would be refused again.
    Refused(Refusal),
    /// It was not done; another attempt may succeed.
    Failed(Failure),
    /// It is not known whether it was done. The effect will be asked for again under the same id,
    /// and whoever performs it looks first.
    Unknown,
}

/// What an outcome rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Evidence {
    /// Nothing more than that it was done.
    Plain,
    /// Checks that were made; some may have failed.
    Checks(Vec<CheckResult>),
    /// A lease.
    Lease {
        /// The right to act on the machine.
        nonce: String,
        /// The machine's version when the lease was taken.
        instance_id: InstanceId,
    },
    /// A machine that was created or updated.
    Machine {
        /// The machine.
        machine: MachineId,
        /// Its new version.
        instance_id: InstanceId,
    },
    /// A machine that became healthy.
    Healthy {
        /// How long that took, in real milliseconds.
        after_ms: u64,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was looked at and found.
    pub detail: String,
    /// How to mend it, where it does not hold.
    pub hint: Option<String>,
    /// How long looking took, in real milliseconds.
    pub took_ms: u64,
}

/// Why the world said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of no.
    pub kind: RefusalKind,
    /// The world's words.
    pub message: String,
}

/// Kinds of no that lead to different decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Somebody else holds the machine's lease.
    LeaseHeldByOther,
    /// Our lease is no longer valid.
    LeaseLost,
    /// The machine or app is gone.
    NotFound,
    /// Anything else that will not change by asking again.
    Other,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, in one sentence.
    pub message: String,
}
