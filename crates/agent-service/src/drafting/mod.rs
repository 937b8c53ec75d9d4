//! Makes a draft: asks the knowledge server, then has a model write from the passages, or quotes
//! the best one, or says honestly that there is no answer.
//!
//! When to try again, and where drafts are kept, is the worker's business.

mod chat;
mod extractive;
pub(crate) mod worker;

use std::sync::Arc;

use crate::Service;
use crate::approvals::{Citation, Draft, DraftKind};
use crate::knowledge::{Knowledge, KnowledgeError};
use crate::queue::Customer;

use self::chat::{Chat, ChatError};

/// What the approver reads when there is no answer.
const NO_ANSWER: &str = "no answer found, please write one";

/// Why a draft couldn't be made yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error(transparent)]
    Knowledge(#[from] KnowledgeError),
    /// With the passages, from which a draft can be made without a model.
    #[error("{error}")]
    Chat { error: ChatError, citations: Vec<Citation> },
}

/// Makes drafts.
#[derive(Debug)]
pub(crate) struct Drafter {
    service: Arc<Service>,
    knowledge: Knowledge,
    chat: Option<Chat>,
}

impl Drafter {
    /// A drafter as the settings want it.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, reqwest::Error> {
        let settings = &service.settings;
        let knowledge = Knowledge::new(&settings.knowledge, settings.call_timeout)?;
        let chat = settings.chat.as_ref().map(|chat| Chat::new(chat, settings.call_timeout));
        let chat = chat.transpose()?;
        Ok(Self { service, knowledge, chat })
    }

    /// A draft that answers `question`.
    pub(crate) async fn draft(
        &self,
        customer: &Customer,
        question: &str,
    ) -> Result<Draft, DraftError> {
        let asked = self.knowledge.ask(question).await;
        self.service.metrics.knowledge_call(match &asked {
            Ok(citations) if citations.is_empty() => "abstained",
            Ok(_) => "answered",
            Err(_) => "failed",
        });
        let citations = asked?;
        let Some(best) = citations.first() else {
            return Ok(unanswered("the support articles don't answer this", Vec::new()));
        };
        let Some(chat) = &self.chat else {
            let text = extractive::text(customer, best);
            return Ok(Draft { kind: DraftKind::Extractive, text, note: None, citations });
        };
        let written = chat.write(customer, question, &citations).await;
        self.service.metrics.model_call(if written.is_ok() { "answered" } else { "failed" });
        match written {
            Ok(Some(text)) => Ok(Draft { kind: DraftKind::Chat, text, note: None, citations }),
            Ok(None) => Ok(unanswered("the model found no answer in the passages", citations)),
            Err(error) => Err(DraftError::Chat { error, citations }),
        }
    }
}

/// The draft for when waiting any longer would leave the customer alone: the best that can be
/// made without the part that failed.
pub(crate) fn instead(customer: &Customer, error: &DraftError) -> Draft {
    match error {
        DraftError::Knowledge(error) => unanswered(&error.to_string(), Vec::new()),
        DraftError::Chat { error, citations } => {
            let Some(best) = citations.first() else {
                return unanswered(&error.to_string(), Vec::new());
            };
            let note = format!("quoted instead of written, because {error}");
            let text = extractive::text(customer, best);
            let citations = citations.clone();
            Draft { kind: DraftKind::Extractive, text, note: Some(note), citations }
        }
    }
}

fn unanswered(cause: &str, citations: Vec<Citation>) -> Draft {
    let note = Some(format!("{NO_ANSWER}: {cause}"));
    Draft { kind: DraftKind::Unanswered, text: String::new(), note, citations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_knowledge_server_a_person_is_asked_to_write() {
        let customer = Customer { name: None, email: None };
        let error = DraftError::Knowledge(KnowledgeError::Call("gone".to_owned()));
        let draft = instead(&customer, &error);
        assert_eq!(draft.kind, DraftKind::Unanswered);
        assert_eq!(draft.text, "");
        let note = draft.note.unwrap();
        assert_eq!(note, "no answer found, please write one: the knowledge server failed: gone");
    }
}
