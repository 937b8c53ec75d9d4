//! `/graphql`: the part of Fly's GraphQL API that its client still asks for. Every answer has
//! status 200; what is refused stands in `errors`, in the shape that the client prints.

mod app;
mod error;
mod example;
mod execute;
mod image;
mod mutation;
mod query;
mod view;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Token, is_authorized};
use crate::fleet::Fleet;
use error::GraphqlError;

/// The body of a request.
#[derive(Debug, Deserialize)]
struct Call {
    query: String,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

/// The route, guarded by the token. Clients of GraphQL read no status, so a wrong token is told in
/// `errors` as well.
pub(super) fn routes(token: Token) -> Router<Fleet> {
    Router::new()
        .route("/graphql", post(answer))
        .route_layer(middleware::from_fn_with_state(token, authorize))
}

async fn authorize(State(token): State<Token>, request: Request, next: Next) -> Response {
    if is_authorized(token, request.headers()) {
        return next.run(request).await;
    }
    let message = "You must be authenticated to view this.\nhint: send the platform's token";
    refused(&GraphqlError::new("UNAUTHORIZED", message)).into_response()
}

async fn answer(State(fleet): State<Fleet>, body: Bytes) -> Json<Value> {
    let call: Call = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => {
            let message = format!("the body cannot be read: {error}");
            return refused(&GraphqlError::new("INVALID", message));
        }
    };
    // A task of its own: a client that hangs up cannot stop a mutation half-way.
    let answered = tokio::spawn(async move {
        let variables = call.variables.unwrap_or_default();
        execute::execute(&fleet, &call.query, variables, call.operation_name.as_deref()).await
    });
    match answered.await {
        Ok(Ok(data)) => Json(json!({"data": data})),
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "a GraphQL call broke off");
            refused(&GraphqlError::new("SERVER_ERROR", "the call broke off"))
        }
    }
}

fn refused(error: &GraphqlError) -> Json<Value> {
    Json(json!({"data": null, "errors": [error.view()]}))
}
