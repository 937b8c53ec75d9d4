//! Executes a GraphQL document: parses it, walks through its selections and picks what they name
//! out of the answers of `query`, `mutation` and `app`. It knows no field but `__typename`. What a
//! mutation is asked to show is tried on an example first, so that a wrong selection changes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql_parser::{
    Positioned, parse_query,
    types::{
        Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};
use async_graphql_value::{ConstValue, Value as Written};
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::{app, error::GraphqlError, example, mutation, query};
use crate::fleet::{AppRecord, Fleet};

/// Fields and fragments that one answer takes. Fragments can make few words mean many.
const ITEMS_MAX: usize = 20_000;

/// Selections inside each other; Fly's client goes to 8.
const DEPTH_MAX: usize = 24;

/// The field of a JSON object here that says of which type it is.
pub(super) const TYPE_NAME: &str = "__typename";

/// The arguments of a field, with the variables put in.
pub(super) type Arguments = Map<String, Value>;

/// What a field is answered with, before a selection picks from it.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Query,
    Mutation,
    /// Its fields are looked up one by one, as some of them cost a read.
    App(Box<AppRecord>),
    Object(&'static str, Vec<(&'static str, Self)>),
    List(Vec<Self>),
    /// An object of JSON with a `__typename` is one that is selected from; without, it is a scalar.
    Json(Value),
}

impl Answer {
    fn type_name(&self) -> &str {
        match self {
            Self::Query => "Query",
            Self::Mutation => "Mutation",
            Self::App(_) => "App",
            Self::Object(name, _) => name,
            Self::List(_) => "List",
            Self::Json(value) => value.get(TYPE_NAME).and_then(Value::as_str).unwrap_or("Scalar"),
        }
    }

    fn is_selected_from(&self) -> bool {
        match self {
            Self::Query | Self::Mutation | Self::App(_) | Self::Object(..) => true,
            Self::List(_) => false,
            Self::Json(value) => value.get(TYPE_NAME).is_some(),
        }
    }
}

/// Executes one operation of a document; gives its `data`.
pub(super) async fn execute(
    fleet: &Fleet,
    text: &str,
    variables: Map<String, Value>,
    operation_name: Option<&str>,
) -> Result<Value, GraphqlError> {
    let document = parse_query(text).map_err(|error| {
        GraphqlError::new("INVALID", format!("the query cannot be read: {error}"))
    })?;
    let operation = operation(&document, operation_name)?;
    let root = match operation.ty {
        OperationType::Query => Answer::Query,
        OperationType::Mutation => Answer::Mutation,
        OperationType::Subscription => {
            return Err(GraphqlError::unsupported("subscription", "ask again instead"));
        }
    };
    let variables = with_defaults(operation, variables)?;
    let selection = &operation.selection_set.node;
    let items = AtomicUsize::new(0);
    let is_trial = operation.ty == OperationType::Mutation;
    let mut execution = Execution { fleet, document: &document, variables, items, is_trial };
    if is_trial {
        execution.select(&root, selection, 0).await?;
        execution.is_trial = false;
        execution.items = AtomicUsize::new(0);
    }
    execution.select(&root, selection, 0).await.map(Value::Object)
}

fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, GraphqlError> {
    let mut operations = document.operations.iter();
    let named = name.filter(|name| !name.is_empty());
    let found = match named {
        Some(name) => operations.find(|(given, _)| given.is_none_or(|given| given == name)),
        None if operations.len() > 1 => None,
        None => operations.next(),
    };
    found.map(|(_, operation)| &operation.node).ok_or_else(|| {
        GraphqlError::new("INVALID", "`operationName` names none of the document's operations")
    })
}

/// The variables with their defaults; one that must be there and is not is refused.
fn with_defaults(
    operation: &OperationDefinition,
    mut variables: Map<String, Value>,
) -> Result<Map<String, Value>, GraphqlError> {
    for definition in &operation.variable_definitions {
        let name = definition.node.name.node.as_str();
        if variables.get(name).is_some_and(|value| !value.is_null()) {
            continue;
        }
        let default = definition.node.default_value.as_ref();
        let default = default.and_then(|value| value.node.clone().into_json().ok());
        if default.is_none() && !definition.node.var_type.node.nullable {
            let of_type = &definition.node.var_type.node;
            let message = format!("Variable ${name} of type {of_type} was provided invalid value");
            return Err(GraphqlError {
                place: Some(definition.pos),
                ..GraphqlError::new("INVALID", message)
            });
        }
        variables.insert(name.to_owned(), default.unwrap_or(Value::Null));
    }
    Ok(variables)
}

struct Execution<'a> {
    fleet: &'a Fleet,
    document: &'a ExecutableDocument,
    variables: Map<String, Value>,
    /// How many fields and fragments were selected so far.
    items: AtomicUsize,
    /// Whether a mutation's selections are only tried, on examples of what it will answer.
    is_trial: bool,
}

impl Execution<'_> {
    /// Picks what a selection names out of one object.
    fn select<'b>(
        &'b self,
        parent: &'b Answer,
        selection: &'b SelectionSet,
        depth: usize,
    ) -> BoxFuture<'b, Result<Map<String, Value>, GraphqlError>> {
        Box::pin(async move {
            if depth > DEPTH_MAX {
                let message = format!("the query is nested more than {DEPTH_MAX} times");
                return Err(GraphqlError::new("INVALID", message));
            }
            let mut picked = Map::new();
            for item in &selection.items {
                if self.items.fetch_add(1, Ordering::Relaxed) >= ITEMS_MAX {
                    let message = format!("the query selects more than {ITEMS_MAX} things");
                    return Err(GraphqlError::new("INVALID", message));
                }
                if !self.is_included(item.node.directives())? {
                    continue;
                }
                match &item.node {
                    Selection::Field(field) => {
                        let key = field.node.response_key().node.as_str();
                        let value = self.field(parent, &field.node, depth).await;
                        let value = value.map_err(|error| error.inside(key, field.pos))?;
                        merge(&mut picked, key, value);
                    }
                    Selection::FragmentSpread(spread) => {
                        let name = &spread.node.fragment_name.node;
                        let fragment = self.document.fragments.get(name).ok_or_else(|| {
                            GraphqlError::new("INVALID", format!("there is no fragment `{name}`"))
                        })?;
                        let of = fragment.node.type_condition.node.on.node.as_str();
                        if applies(of, parent) {
                            let set = &fragment.node.selection_set.node;
                            let part = self.select(parent, set, depth + 1).await?;
                            part.into_iter().for_each(|(k, v)| merge(&mut picked, &k, v));
                        }
                    }
                    Selection::InlineFragment(fragment) => {
                        let of = fragment.node.type_condition.as_ref();
                        if of.is_none_or(|of| applies(of.node.on.node.as_str(), parent)) {
                            let set = &fragment.node.selection_set.node;
                            let part = self.select(parent, set, depth + 1).await?;
                            part.into_iter().for_each(|(k, v)| merge(&mut picked, &k, v));
                        }
                    }
                }
            }
            Ok(picked)
        })
    }

    async fn field(
        &self,
        parent: &Answer,
        field: &Field,
        depth: usize,
    ) -> Result<Value, GraphqlError> {
        let name = field.name.node.as_str();
        if name == TYPE_NAME {
            return Ok(Value::from(parent.type_name()));
        }
        let arguments = self.arguments(field)?;
        let answer = match parent {
            Answer::Query => query::field(self.fleet, name, &arguments)?,
            Answer::Mutation if self.is_trial => mutation::example_of(name)?,
            Answer::Mutation => mutation::field(self.fleet, name, &arguments).await?,
            Answer::App(app) if self.is_trial => {
                example::field_of_app(self.fleet, app, name, &arguments).await?
            }
            Answer::App(app) => app::field(self.fleet, app, name, &arguments).await?,
            Answer::Object(type_name, fields) => {
                let found = fields.iter().find(|(known, _)| *known == name);
                let found = found.map(|(_, answer)| answer.clone());
                found.ok_or_else(|| GraphqlError::unknown_field(name, type_name))?
            }
            Answer::Json(value) => {
                let found = value.get(name).cloned().map(Answer::Json);
                found.ok_or_else(|| GraphqlError::unknown_field(name, parent.type_name()))?
            }
            Answer::List(_) => return Err(GraphqlError::unknown_field(name, "List")),
        };
        self.pick(answer, &field.selection_set.node, depth + 1).await
    }

    /// What remains of an answer after its selection.
    async fn pick(
        &self,
        answer: Answer,
        selection: &SelectionSet,
        depth: usize,
    ) -> Result<Value, GraphqlError> {
        let one_by_one = match answer {
            Answer::List(list) => list,
            Answer::Json(Value::Array(list)) => list.into_iter().map(Answer::Json).collect(),
            Answer::Json(Value::Null) => return Ok(Value::Null),
            one if one.is_selected_from() && selection.items.is_empty() => {
                let message = format!("name the fields of `{}` that you want", one.type_name());
                return Err(GraphqlError::new("INVALID", message));
            }
            one if one.is_selected_from() => {
                return self.select(&one, selection, depth).await.map(Value::Object);
            }
            Answer::Json(_) if !selection.items.is_empty() => {
                return Err(GraphqlError::new("INVALID", "this field has no fields of its own"));
            }
            Answer::Json(scalar) => return Ok(scalar),
            Answer::Query | Answer::Mutation | Answer::App(_) | Answer::Object(..) => {
                return Ok(Value::Null);
            }
        };
        let mut picked = Vec::with_capacity(one_by_one.len());
        for one in one_by_one {
            picked.push(Box::pin(self.pick(one, selection, depth)).await?);
        }
        Ok(Value::Array(picked))
    }

    fn arguments(&self, field: &Field) -> Result<Arguments, GraphqlError> {
        let arguments = field.arguments.iter();
        arguments
            .map(|(name, written)| Ok((name.node.to_string(), self.value(&written.node)?)))
            .collect()
    }

    fn value(&self, written: &Written) -> Result<Value, GraphqlError> {
        let unreadable = |error: serde_json::Error| GraphqlError::new("INVALID", error.to_string());
        let constant = written.clone().into_const_with(|name| {
            let given = self.variables.get(name.as_str()).cloned().ok_or_else(|| {
                GraphqlError::new("INVALID", format!("Variable ${name} is not declared"))
            })?;
            ConstValue::from_json(given).map_err(unreadable)
        })?;
        constant.into_json().map_err(unreadable)
    }

    fn is_included(&self, directives: &[Positioned<Directive>]) -> Result<bool, GraphqlError> {
        for directive in directives {
            let wanted = match directive.node.name.node.as_str() {
                "include" => true,
                "skip" => false,
                _ => continue,
            };
            let condition = directive.node.get_argument("if");
            let condition = condition.map(|written| self.value(&written.node)).transpose()?;
            if condition.and_then(|value| value.as_bool()) == Some(!wanted) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a fragment on this type says anything of the object.
fn applies(type_condition: &str, parent: &Answer) -> bool {
    type_condition == parent.type_name() || matches!(type_condition, "Node" | "Principal")
}

/// Puts a field beside the others; two selections from the same field become one.
fn merge(picked: &mut Map<String, Value>, key: &str, value: Value) {
    match (picked.get_mut(key), value) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            more.into_iter().for_each(|(k, v)| merge(known, &k, v));
        }
        (_, value) => {
            picked.insert(key.to_owned(), value);
        }
    }
}
