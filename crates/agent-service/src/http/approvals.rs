//! The approvals' API: list, read, decide, audit trail, and what was sent.
//!
//! Each machine has its own database; a request for another machine's item is answered with
//! `fly-replay`, so that Fly's proxy carries it there.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State as Shared};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::approvals::{self, Approval, DecideError, Request, State, Verb};
use crate::{Service, clock};

/// Items in one answer, unless told otherwise, and at most.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

const REPLAY_HEADER: HeaderName = HeaderName::from_static("fly-replay");
/// Fly sets it on a request that it has carried already.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("fly-replay-src");

/// Which part of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    state: Option<String>,
    conversation_id: Option<i64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveBody {
    actor: String,
    version: i64,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditBody {
    actor: String,
    version: i64,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectBody {
    actor: String,
    version: i64,
    reason: String,
}

/// `GET /approvals?state&conversation_id&limit&cursor`, oldest first.
pub(super) async fn list(
    Shared(service): Shared<Arc<Service>>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(part) = part?;
    let state = part.state.as_deref().map(state_named).transpose()?;
    let (after, limit) = bounds(&part)?;
    let found = service.storage.approvals(state, part.conversation_id, after, limit + 1);
    let mut items = found.await?;
    let more = cut(&mut items, limit);
    let next_cursor = items.last().filter(|_| more).map(|item| item.number.to_string());
    Ok(Json(json!({ "items": items, "next_cursor": next_cursor })))
}

/// `GET /sent?limit&cursor`, oldest first.
pub(super) async fn sent(
    Shared(service): Shared<Arc<Service>>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(part) = part?;
    let (after, limit) = bounds(&part)?;
    let mut items = service.storage.sent(after, limit + 1).await?;
    let more = cut(&mut items, limit);
    let next_cursor = items.last().filter(|_| more).map(|item| item.number.to_string());
    Ok(Json(json!({ "items": items, "next_cursor": next_cursor })))
}

/// `GET /approvals/{id}`.
pub(super) async fn read(
    Shared(service): Shared<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Approval>, ApiError> {
    find(&service, &id, &headers).await.map(Json)
}

/// `GET /approvals/{id}/audit`.
pub(super) async fn audit(
    Shared(service): Shared<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let approval = find(&service, &id, &headers).await?;
    let entries = service.storage.audit_of(&approval.id).await?;
    Ok(Json(json!({ "approval_id": approval.id, "entries": entries })))
}

/// `POST /approvals/{id}/approve`.
pub(super) async fn approve(
    Shared(service): Shared<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<ApproveBody>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let Json(ApproveBody { actor, version, text }) = body?;
    let request = Request { actor, version, verb: Verb::Approve { text } };
    decide(&service, &id, &headers, &request).await
}

/// `POST /approvals/{id}/edit`.
pub(super) async fn edit(
    Shared(service): Shared<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<EditBody>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let Json(EditBody { actor, version, text }) = body?;
    let request = Request { actor, version, verb: Verb::Edit { text } };
    decide(&service, &id, &headers, &request).await
}

/// `POST /approvals/{id}/reject`.
pub(super) async fn reject(
    Shared(service): Shared<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<RejectBody>, JsonRejection>,
) -> Result<Json<Approval>, ApiError> {
    let Json(RejectBody { actor, version, reason }) = body?;
    let request = Request { actor, version, verb: Verb::Reject { reason } };
    decide(&service, &id, &headers, &request).await
}

async fn decide(
    service: &Service,
    id: &str,
    headers: &HeaderMap,
    request: &Request,
) -> Result<Json<Approval>, ApiError> {
    let decided = approvals::decide(&service.storage, id, request, clock::now_ms()).await;
    let outcome = match (&decided, &request.verb) {
        (Err(DecideError::Lost(_)), _) => "lost",
        (Err(_), _) => "refused",
        (Ok(_), Verb::Approve { .. }) => "approve",
        (Ok(_), Verb::Edit { .. }) => "edit",
        (Ok(_), Verb::Reject { .. }) => "reject",
    };
    service.metrics.decision(outcome);
    tracing::info!(approval_id = id, actor = request.actor, outcome, "decision");
    match decided {
        Ok(approval) => {
            if approval.state == State::Approved {
                service.new_reply.notify_one();
            }
            Ok(Json(approval))
        }
        Err(DecideError::Unknown { .. }) => Err(elsewhere(service, id, headers)),
        Err(error) => Err(error.into()),
    }
}

async fn find(service: &Service, id: &str, headers: &HeaderMap) -> Result<Approval, ApiError> {
    let found = service.storage.approval(id).await?;
    found.ok_or_else(|| elsewhere(service, id, headers))
}

/// What to say about an item that isn't in this machine's database: where it is, or that there is
/// none. A request that was carried here already isn't sent on, so that none goes in circles.
fn elsewhere(service: &Service, id: &str, headers: &HeaderMap) -> ApiError {
    let unknown = || {
        let shown: String = id.chars().take(80).collect();
        ApiError::not_found(format!(
            "there is no approval `{shown}`\nhint: `GET /approvals` lists those there are"
        ))
    };
    let Some(own) = service.settings.machine_id.as_deref() else { return unknown() };
    let Some(other) = approvals::machine_of(id).filter(|other| *other != own) else {
        return unknown();
    };
    if headers.contains_key(REPLAYED_HEADER) {
        return unknown();
    }
    let Ok(value) = HeaderValue::try_from(format!("instance={other}")) else { return unknown() };
    let message = format!(
        "approval `{id}` is on machine {other}, and this is {own}\nhint: the `fly-replay` header tells the proxy to carry the request there"
    );
    ApiError::new(StatusCode::CONFLICT, "other_machine", message).with_header(REPLAY_HEADER, value)
}

fn state_named(name: &str) -> Result<State, ApiError> {
    State::named(name).ok_or_else(|| {
        let names: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
        ApiError::bad_request(format!(
            "there is no state `{name}`\nhint: the states are {}",
            names.join(", ")
        ))
    })
}

fn bounds(part: &Part) -> Result<(i64, u32), ApiError> {
    let limit = part.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!("`limit` is {limit}\nhint: choose 1 to 200")));
    }
    let after = match &part.cursor {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_odd: std::num::ParseIntError| {
            ApiError::bad_request("`cursor` isn't one\nhint: pass the last answer's `next_cursor`")
        })?,
    };
    Ok((after, limit))
}

fn cut<T>(items: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    more
}
