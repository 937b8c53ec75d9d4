//! Places in JSON, in the language of RFC 9535, with variables in them. It finds values; what
//! they must be is an expectation's business.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::template::{self, Variables};

/// The longest path, in bytes; longer ones are programs.
const LENGTH_LIMIT: usize = 1000;

/// How deep brackets may be nested: the parser's time and stack grow with it.
const NESTING_LIMIT: usize = 8;

/// A path that can be parsed once its variables have values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonPath(String);

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathProblem {
    /// What is wrong with it.
    pub(super) cause: String,
    /// The byte of the text at which it is wrong, where that is known.
    pub(super) at: Option<usize>,
}

impl JsonPath {
    /// Reads a path. Each variable is taken for a 0, which fits beside an operator and into a
    /// text.
    pub(super) fn read(text: &str) -> Result<Self, PathProblem> {
        let problem = |cause: String| PathProblem { cause, at: None };
        if text.len() > LENGTH_LIMIT {
            let cause = format!("has {} bytes, and at most {LENGTH_LIMIT} are read", text.len());
            return Err(problem(cause));
        }
        let zeros = template::variables(text).into_iter();
        let zeros: Variables = zeros.map(|name| (name.to_owned(), "0".to_owned())).collect();
        let has_variables = !zeros.is_empty();
        let path = template::fill(text, &zeros, escaped).map_err(problem)?;
        match parse(&path) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(mut problem) => {
                // places behind a variable are not those of the text
                problem.at = problem.at.filter(|_| !has_variables);
                Err(problem)
            }
        }
    }

    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it selects, in the order of the document.
    ///
    /// # Errors
    /// When a variable has no value, or one with which this is no path.
    pub fn select<'a>(
        &self,
        variables: &Variables,
        document: &'a Value,
    ) -> Result<Vec<&'a Value>, String> {
        let path = template::fill(&self.0, variables, escaped)
            .map_err(|name| format!("`{{{name}}}` in `{self}` has no value"))?;
        let path = parse(&path).map_err(|problem| format!("`{path}` {}", problem.cause))?;
        Ok(path.query(document).all())
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn parse(path: &str) -> Result<serde_json_path::JsonPath, PathProblem> {
    let mut depth = 0_usize;
    for (at, character) in path.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_LIMIT {
            let cause = format!("nests brackets more than {NESTING_LIMIT} deep");
            return Err(PathProblem { cause, at: Some(at) });
        }
    }
    serde_json_path::JsonPath::parse(path).map_err(|error| {
        let at = error.position().checked_sub(1);
        PathProblem { cause: format!("is no JSONPath: {}", error.message()), at }
    })
}

/// A value that stays inside the quotes around it, whichever they are.
fn escaped(value: &str) -> String {
    let escape = |character: char| match character {
        '\'' | '"' | '\\' | '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    value.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(path: &str, values: &[(&str, &str)]) -> Result<Vec<Value>, String> {
        let document = json!({ "items": [
            { "id": "a'b\"c\\", "number": 7 }, { "id": "b", "number": 8 },
        ] });
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let path = JsonPath::read(path).map_err(|problem| problem.cause)?;
        let found = path.select(&values.collect(), &document)?;
        Ok(found.into_iter().cloned().collect())
    }

    #[test]
    fn a_variable_selects_as_a_number_and_inside_of_either_quotes() {
        let by_number = select("$.items[?@.number == {n}].id", &[("n", "8")]);
        assert_eq!(by_number, Ok(vec![json!("b")]));
        for path in ["$.items[?@.id == '{id}'].number", "$.items[?@.id == \"{id}\"].number"] {
            assert_eq!(select(path, &[("id", "a'b\"c\\")]), Ok(vec![json!(7)]), "{path}");
            assert_eq!(select(path, &[("id", "' || true || '")]), Ok(vec![]), "{path}");
        }
        assert_eq!(select("$.items[?length(@.id) == 1].id", &[]), Ok(vec![json!("b")]));
    }

    #[test]
    fn a_value_that_makes_no_path_is_told() {
        let told = select("$.items[?@.number == {n}]", &[("n", "many")]).expect_err("no path");
        assert!(told.contains("`$.items[?@.number == many]` is no JSONPath"), "{told}");
        let told = select("$.items[{n}]", &[]).expect_err("no value");
        assert!(told.contains("`{n}`"), "{told}");
    }

    #[test]
    fn a_path_that_would_take_long_to_read_is_refused_at_once() {
        for path in ["(".repeat(900), format!("$[?{}1", "(".repeat(40)), "[".repeat(2000)] {
            assert!(JsonPath::read(&path).is_err());
        }
        let deep = format!("$[?{}@.a==1{}]", "(".repeat(6), ")".repeat(6));
        assert!(JsonPath::read(&deep).is_ok(), "{:?}", JsonPath::read(&deep));
        let open = format!("$[?{}@.a==1", "(".repeat(7));
        assert!(JsonPath::read(&open).is_err());
        let negated = format!("$[?{}@.a]", "!(".repeat(7));
        assert!(JsonPath::read(&negated).is_err());
    }
}
