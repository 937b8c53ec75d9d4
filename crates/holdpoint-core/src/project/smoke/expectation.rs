//! What the JSON of an answer must hold: a place, and a rule about what stands there.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::de::DeValue;

use super::json_path::JsonPath;
use super::scope::Scope;
use super::template::{self, Variables};
use crate::project::reader::{Table, Value};

/// How much of a found value is quoted.
const QUOTED_CHARACTERS: usize = 120;

/// The most values that a rule can count.
const COUNT_LIMIT: u64 = 1_000_000;

/// One thing that the answer's JSON must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonExpectation {
    /// Where to look.
    pub path: JsonPath,
    /// What must stand there.
    pub rule: JsonRule,
}

/// What must stand at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonRule {
    /// Anything.
    Exists,
    /// Nothing.
    Absent,
    /// This value, and where the path selects several, nothing else.
    Equals(Json),
    /// A text with this text in it.
    Contains(String),
    /// So many values.
    Count(u64),
}

impl JsonExpectation {
    pub(super) fn read(table: &mut Table<'_>, scope: &Scope) -> Option<Self> {
        let path = table.require("path", "\"$.status\"");
        let path = path.and_then(|value| scope.json_path(&value));
        let mut rules = Vec::new();
        if let Some(value) = table.take("equals") {
            scope.check_text(&value);
            rules.extend(json(value.raw()).map(JsonRule::Equals));
        }
        if let Some(value) = table.take("contains") {
            scope.check_text(&value);
            rules.extend(value.text().map(|text| JsonRule::Contains(text.to_owned())));
        }
        if let Some(value) = table.take("count") {
            rules.extend(value.number(&(0..=COUNT_LIMIT)).map(JsonRule::Count));
        }
        if let Some(value) = table.take("exists") {
            let rule = |exists| if exists { JsonRule::Exists } else { JsonRule::Absent };
            rules.extend(value.boolean().map(rule));
        }
        if rules.len() > 1 {
            table.report.error(
                &table.span,
                "an expectation has one rule, and this one has several",
                "keep one of `equals`, `contains`, `count` and `exists`, and write one expectation for each",
            );
        }
        Some(Self { path: path?, rule: rules.pop().unwrap_or(JsonRule::Exists) })
    }

    /// Whether the document holds it.
    ///
    /// # Errors
    /// What stands there instead, in a sentence.
    pub fn judge(&self, variables: &Variables, document: &Json) -> Result<(), String> {
        let path = &self.path;
        let found = path.select(variables, document)?;
        let text = |template: &str| {
            template::fill(template, variables, template::as_it_is)
                .map_err(|name| format!("`{{{name}}}` has no value"))
        };
        let nothing = || format!("`{path}` selects nothing");
        match &self.rule {
            JsonRule::Exists => {
                if found.is_empty() {
                    Err(nothing())
                } else {
                    Ok(())
                }
            }
            JsonRule::Absent => match found.first() {
                None => Ok(()),
                Some(value) => {
                    Err(format!("`{path}` selects {}, and nothing may stand there", quoted(value)))
                }
            },
            JsonRule::Count(wanted) if u64::try_from(found.len()).ok() == Some(*wanted) => Ok(()),
            JsonRule::Count(wanted) => {
                Err(format!("`{path}` selects {} values, not {wanted}", found.len()))
            }
            JsonRule::Contains(part) => {
                let part = text(part)?;
                let holds = |value: &&&Json| value.as_str().is_some_and(|it| it.contains(&part));
                match (found.iter().find(holds), found.first()) {
                    (Some(_), _) => Ok(()),
                    (None, None) => Err(nothing()),
                    (None, Some(value)) => {
                        Err(format!("`{path}` is {}, without `{part}`", quoted(value)))
                    }
                }
            }
            JsonRule::Equals(Json::String(template)) => {
                let wanted = text(template)?;
                let is_plain = template::variables(template).is_empty();
                all_fit(path, &found, &Json::from(wanted.as_str()), |value| match value {
                    Json::String(found) => *found == wanted,
                    // a variable's value is text, whatever it was in the answer that it is from
                    Json::Number(_) | Json::Bool(_) => {
                        let found = value.to_string();
                        !is_plain && found == wanted
                    }
                    Json::Null | Json::Array(_) | Json::Object(_) => false,
                })
            }
            JsonRule::Equals(wanted) => all_fit(path, &found, wanted, |value| same(value, wanted)),
        }
    }
}

fn all_fit(
    path: &JsonPath,
    found: &[&Json],
    wanted: &Json,
    fits: impl Fn(&Json) -> bool,
) -> Result<(), String> {
    if found.is_empty() {
        return Err(format!("`{path}` selects nothing"));
    }
    match found.iter().find(|value| !fits(value)) {
        Some(value) => Err(format!("`{path}` is {}, not {}", quoted(value), quoted(wanted))),
        None => Ok(()),
    }
}

/// Whether two values are the same; 1 and 1.0 are.
fn same(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one_float), Some(other_float)) => {
            one == other || (one_float - other_float).abs() < f64::EPSILON
        }
        _ => one == other,
    }
}

/// A found value for a sentence, cut where it is long.
pub(super) fn quoted(value: &Json) -> String {
    let text = value.to_string();
    let start: String = text.chars().take(QUOTED_CHARACTERS).collect();
    if start.len() < text.len() { format!("`{start}…`") } else { format!("`{start}`") }
}

/// A value of the file as JSON; `None` for a number that JSON can't hold.
pub(super) fn json(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(integer) => {
            Json::from(i64::from_str_radix(integer.as_str(), integer.radix()).ok()?)
        }
        DeValue::Float(float) => Json::from(float.as_str().parse::<f64>().ok()?),
        DeValue::Boolean(boolean) => Json::from(*boolean),
        DeValue::Datetime(time) => Json::from(time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| json(item.get_ref()));
            Json::Array(items.collect::<Option<Vec<Json>>>()?)
        }
        DeValue::Table(table) => {
            let fields = table.iter().map(|(name, value)| {
                Some((name.get_ref().as_ref().to_owned(), json(value.get_ref())?))
            });
            Json::Object(fields.collect::<Option<serde_json::Map<String, Json>>>()?)
        }
    })
}

/// A value as JSON, or a finding.
pub(super) fn read_json(value: &Value<'_>) -> Option<Json> {
    let json = json(value.raw());
    if json.is_none() {
        value.refuse("holds a number that JSON cannot hold", "write a smaller number");
    }
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(path: &str, rule: JsonRule) -> String {
        let document = json!({ "n": 7, "s": "seven of nine", "list": [1, 1], "null": null });
        let variables = Variables::from([("n".to_owned(), "7".to_owned())]);
        let path = JsonPath::read(path).expect("a path");
        let judged = JsonExpectation { path, rule }.judge(&variables, &document);
        judged.err().unwrap_or_else(|| "ok".to_owned())
    }

    #[test]
    fn each_rule_says_what_stands_there_instead() {
        let told = [
            judged("$.n", JsonRule::Exists),
            judged("$.null", JsonRule::Exists),
            judged("$.x", JsonRule::Exists),
            judged("$.x", JsonRule::Absent),
            judged("$.n", JsonRule::Absent),
            judged("$.list[*]", JsonRule::Count(2)),
            judged("$.list[*]", JsonRule::Count(1)),
            judged("$.list[*]", JsonRule::Equals(json!(1))),
            judged("$.n", JsonRule::Equals(json!(7.0))),
            judged("$.n", JsonRule::Equals(json!("7"))),
            judged("$.n", JsonRule::Equals(json!("{n}"))),
            judged("$.s", JsonRule::Equals(json!("{n}"))),
            judged("$.s", JsonRule::Equals(json!("seven of nine"))),
            judged("$.x", JsonRule::Equals(json!(1))),
            judged("$.s", JsonRule::Contains("of".to_owned())),
            judged("$.s", JsonRule::Contains("ten".to_owned())),
            judged("$.x", JsonRule::Contains("ten".to_owned())),
        ];
        insta::assert_snapshot!(told.join("\n"), @r#"
        ok
        ok
        `$.x` selects nothing
        ok
        `$.n` selects `7`, and nothing may stand there
        ok
        `$.list[*]` selects 2 values, not 1
        ok
        ok
        `$.n` is `7`, not `"7"`
        ok
        `$.s` is `"seven of nine"`, not `"7"`
        ok
        `$.x` selects nothing
        ok
        `$.s` is `"seven of nine"`, without `ten`
        `$.x` selects nothing
        "#);
    }
}
