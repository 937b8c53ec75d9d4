//! Why a GraphQL call is refused, as its clients read it.

use async_graphql_parser::Pos;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::error::Refusal;

/// One entry of `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphqlError {
    pub(super) message: String,
    /// The word in `extensions` by which clients tell errors apart.
    pub(super) code: &'static str,
    /// From the outermost field to the one that was refused.
    pub(super) path: Vec<String>,
    pub(super) place: Option<Pos>,
}

impl GraphqlError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, path: Vec::new(), place: None }
    }

    /// A field that nobody here knows, in the words of Fly's server.
    pub(super) fn unknown_field(field: &str, type_name: &str) -> Self {
        let message = format!("Field '{field}' doesn't exist on type '{type_name}'");
        Self::new("undefinedField", message)
    }

    pub(super) fn unsupported(what: &str, why: &str) -> Self {
        Self::new("UNPROCESSABLE", format!("`{what}` is not available on this platform: {why}"))
    }

    /// The same error, said of this field. The innermost place is the one that is kept.
    pub(super) fn inside(mut self, field: &str, place: Pos) -> Self {
        self.path.insert(0, field.to_owned());
        self.place.get_or_insert(place);
        self
    }

    pub(super) fn view(&self) -> Value {
        let mut view = json!({"message": self.message, "extensions": {"code": self.code}});
        if let Some(fields) = view.as_object_mut() {
            if !self.path.is_empty() {
                fields.insert("path".to_owned(), json!(self.path));
            }
            if let Some(Pos { line, column }) = self.place {
                let place = json!([{"line": line, "column": column}]);
                fields.insert("locations".to_owned(), place);
            }
        }
        view
    }
}

impl From<Refusal> for GraphqlError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.status {
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::BAD_REQUEST => "INVALID",
            status if status.is_server_error() => "SERVER_ERROR",
            _ => "UNPROCESSABLE",
        };
        Self::new(code, refusal.message)
    }
}
