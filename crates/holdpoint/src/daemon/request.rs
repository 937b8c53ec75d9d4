//! What others ask of the running conductor, and how they hear back. The conductor answers
//! between two inputs, so that what it says is true of one moment.

use holdpoint_core::command::{Actor, Command, Rejection};
use holdpoint_core::id::PlanDigest;
use holdpoint_core::plan::Plan;
use holdpoint_core::view::{Status, TimelineEntry};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// The most requests that wait for the conductor; more of them wait outside.
const WAITING_MAX: usize = 64;

/// Something that is asked of the conductor.
#[derive(Debug)]
pub(super) enum Request {
    /// Put a command before the engine.
    Command(Actor, Box<Command>, oneshot::Sender<Result<u64, Rejection>>),
    /// Say where the project stands.
    Status(oneshot::Sender<Status>),
    /// Show the plan that is carried out.
    Plan(oneshot::Sender<Option<PlanView>>),
    /// Tell what happened.
    Timeline(oneshot::Sender<Result<Vec<TimelineEntry>, String>>),
}

/// A plan as people and programs read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// Its digest.
    pub digest: PlanDigest,
    /// What people read.
    pub text: String,
    /// What the planner left as it is.
    pub left_out: Vec<String>,
    /// The plan itself.
    pub plan: Plan,
}

/// Why the conductor did not answer.
#[derive(Debug, Error)]
pub enum Unanswered {
    /// The engine refused the command. Nothing was written.
    #[error("{0}")]
    Rejected(#[source] Rejection),
    /// The conductor stopped meanwhile.
    #[error("the conductor stopped before it answered\nhint: go on with `holdpoint resume`")]
    Stopped,
    /// The journal could not be read.
    #[error("{0}")]
    Journal(String),
}

/// The way to the running conductor. Clones lead to the same.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Request>);

pub(super) fn channel() -> (Handle, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Handle(sender), receiver)
}

impl Handle {
    /// Puts a command before the engine. When this returns, its record is durable; the number is
    /// that of the journal's newest record.
    ///
    /// # Errors
    /// When the engine refuses it, or the conductor stops.
    pub async fn command(&self, actor: Actor, command: Command) -> Result<u64, Unanswered> {
        let answer = self.ask(|reply| Request::Command(actor, Box::new(command), reply)).await?;
        answer.map_err(Unanswered::Rejected)
    }

    /// Where the project stands.
    ///
    /// # Errors
    /// When the conductor stops.
    pub async fn status(&self) -> Result<Status, Unanswered> {
        self.ask(Request::Status).await
    }

    /// The plan that is carried out; `None` when no release is under way.
    ///
    /// # Errors
    /// When the conductor stops.
    pub async fn plan(&self) -> Result<Option<PlanView>, Unanswered> {
        self.ask(Request::Plan).await
    }

    /// What happened, from the journal.
    ///
    /// # Errors
    /// When the conductor stops, or the journal can't be read.
    pub async fn timeline(&self) -> Result<Vec<TimelineEntry>, Unanswered> {
        self.ask(Request::Timeline).await?.map_err(Unanswered::Journal)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_closed| Unanswered::Stopped)?;
        answer.await.map_err(|_closed| Unanswered::Stopped)
    }
}
