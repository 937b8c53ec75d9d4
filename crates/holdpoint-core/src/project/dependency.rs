//! What pre-flight asks of others: the service that runs the tests, databases, model APIs, and
//! whatever else must be in reach. Addresses and names of environment variables stand here; no
//! token and no password does, for what is read here enters the journal.

use serde::{Deserialize, Serialize};

use super::reader::{Table, Value};

/// How many entries any list of these may have.
const ENTRIES_LIMIT: usize = 64;

/// GitHub's own address.
const GITHUB_URL: &str = "https://api.github.com";

/// The most approving reviews that a rule may want.
const REVIEWS_LIMIT: u64 = 16;

/// A tenth of a limit: enough for what a release asks of a model, and for its customers meanwhile.
const HEADROOM: f64 = 0.1;

/// Who knows whether a commit's tests passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiPolicy {
    /// Whom to ask.
    pub source: CiSource,
    /// Runs that must be there, by their names; whatever is there must have passed in any case.
    pub required: Vec<String>,
    /// How many people must have approved the pull request; 0 when nobody asks.
    pub approving_reviews: u32,
}

/// Whom to ask about a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CiSource {
    /// A service that speaks GitHub's API.
    GitHub {
        /// Its base.
        base_url: String,
        /// `OWNER/NAME`.
        repository: String,
        /// The environment variable that holds a token.
        token_env: Option<String>,
    },
    /// A command and its arguments, run in the project's folder; `{commit}` and `{version}` are
    /// filled in, and exit status 0 means that the tests passed.
    Command(Vec<String>),
}

/// A PostgreSQL database that must take a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Unique in the project.
    pub name: String,
    /// Where it is.
    pub address: DatabaseAddress,
}

/// Where a database's address is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseAddress {
    /// Here, without a password.
    Url(String),
    /// In the environment variable of this name.
    Variable(String),
}

/// A model API that must take our key and leave room under its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelApi {
    /// Unique in the project.
    pub name: String,
    /// Its base; `/v1/models` below it is asked.
    pub base_url: String,
    /// How the key is sent.
    pub style: ModelApiStyle,
    /// The environment variable that holds the key.
    pub token_env: Option<String>,
    /// A model that must be listed.
    pub model: Option<String>,
    /// The share of every limit that must be left.
    pub headroom: f64,
}

/// Whose habits a model API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelApiStyle {
    /// OpenAI's, which most others share.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl ModelApiStyle {
    const ALL: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// Something that must be in reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachable {
    /// Unique in the project.
    pub name: String,
    /// `tcp://HOST:PORT`, or an address of HTTP.
    pub address: String,
}

impl CiPolicy {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let base_url = table.take("base_url").and_then(|value| http_url(&value));
        let token_env = table.line("token_env");
        let (repository, command) = (table.take("repository"), table.take("command"));
        let lines = |value: Option<Value<'_>>| -> Vec<String> {
            let lines = value.map(|value| value.lines(ENTRIES_LIMIT)).unwrap_or_default();
            lines.into_iter().map(|(line, _)| line).collect()
        };
        let required = lines(table.take("required"));
        let reviews = table.take("approving_reviews");
        let reviews = reviews.and_then(|value| value.number(&(0..=REVIEWS_LIMIT))).unwrap_or(0);
        let source = match (repository, command) {
            (Some(value), None) => CiSource::GitHub {
                base_url: base_url.unwrap_or_else(|| GITHUB_URL.to_owned()),
                repository: repository_name(&value)?,
                token_env,
            },
            (None, command @ Some(_)) => CiSource::Command(lines(command)),
            (Some(value), Some(_)) => {
                value.refuse("stands beside `command`", "remove one of the two");
                return None;
            }
            (None, None) => {
                table.report.absent(
                    &table.span,
                    "`[preflight.ci]` says neither whom to ask nor what to run",
                    "add for example `repository = \"OWNER/NAME\"` or `command = [\"scripts/ci\", \
                     \"{commit}\"]`",
                );
                return None;
            }
        };
        let approving_reviews = u32::try_from(reviews).unwrap_or(0);
        Some(Self { source, required, approving_reviews })
    }
}

impl Database {
    pub(super) fn read_all(table: &mut Table<'_>) -> Vec<Self> {
        let mut places = Vec::new();
        let databases = table.tables("databases", ENTRIES_LIMIT, |table| {
            let (name, place) = table.required_line("name", "\"orders\"");
            let (url, variable) = (table.take("url"), table.line("url_env"));
            let address = match (url, variable) {
                (None, Some(variable)) => DatabaseAddress::Variable(variable),
                (Some(url), None) => DatabaseAddress::Url(database_url(&url)?),
                (Some(url), Some(_)) => {
                    url.refuse("stands beside `url_env`", "remove one of the two");
                    return None;
                }
                (None, None) => {
                    table.report.absent(
                        &table.span,
                        "this database has no address",
                        "add for example `url_env = \"DATABASE_URL\"`",
                    );
                    return None;
                }
            };
            places.push(place);
            Some(Self { name, address })
        });
        let databases: Vec<Self> = databases.into_iter().flatten().flatten().collect();
        let names = databases.iter().map(|database| database.name.as_str());
        table.report.distinct("databases", names.zip(&places));
        databases
    }
}

impl ModelApi {
    pub(super) fn read_all(table: &mut Table<'_>) -> Vec<Self> {
        let mut places = Vec::new();
        let apis = table.tables("model_apis", ENTRIES_LIMIT, |table| {
            let (name, place) = table.required_line("name", "\"openai\"");
            let base_url = table.require("base_url", "\"https://api.openai.com\"");
            let style = table.take("style").and_then(|value| {
                value.word("style of a model API", &ModelApiStyle::ALL, ModelApiStyle::as_str)
            });
            let token_env = table.line("token_env");
            let model = table.line("model");
            let headroom = table.take("headroom").and_then(|value| value.share());
            places.push(place);
            Self {
                name,
                base_url: base_url.and_then(|value| http_url(&value)).unwrap_or_default(),
                style: style.unwrap_or(ModelApiStyle::OpenAi),
                token_env,
                model,
                headroom: headroom.unwrap_or(HEADROOM),
            }
        });
        let apis = apis.unwrap_or_default();
        table.report.distinct("model APIs", apis.iter().map(|api| api.name.as_str()).zip(&places));
        apis
    }
}

impl Reachable {
    pub(super) fn read_all(table: &mut Table<'_>) -> Vec<Self> {
        let mut places = Vec::new();
        let reachable = table.tables("reachable", ENTRIES_LIMIT, |table| {
            let (name, place) = table.required_line("name", "\"mail\"");
            let address = table.require("address", "\"tcp://smtp.example.com:587\"");
            places.push(place);
            let address = address.and_then(|value| reachable_address(&value));
            Self { name, address: address.unwrap_or_default() }
        });
        let reachable = reachable.unwrap_or_default();
        let names = reachable.iter().map(|one| one.name.as_str());
        table.report.distinct("reachable things", names.zip(&places));
        reachable
    }
}

fn repository_name(value: &Value<'_>) -> Option<String> {
    let text = value.line()?;
    let is_fit = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part.bytes().all(fits)
    };
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() == 2 && parts.into_iter().all(is_fit) {
        return Some(text);
    }
    value.refuse(format!("is `{text}`, which names no repository"), "write `OWNER/NAME`");
    None
}

fn http_url(value: &Value<'_>) -> Option<String> {
    let text = value.line()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    match host {
        Some(host) if host.contains('@') => {
            value.refuse(
                "holds a name or password, which would enter the journal",
                "leave it out, and name the variable that holds the token",
            );
            None
        }
        Some(host) if !host.is_empty() && !text.contains(char::is_whitespace) => Some(text),
        Some(_) | None => {
            let cause = format!("is `{text}`, which is no address of HTTP");
            value.refuse(cause, "write for example `https://api.example.com`");
            None
        }
    }
}

fn reachable_address(value: &Value<'_>) -> Option<String> {
    let text = value.line()?;
    let Some(place) = text.strip_prefix("tcp://") else { return http_url(value) };
    let port = place.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Some(text);
    }
    value.refuse(format!("is `{text}`, which has no port"), "write `tcp://HOST:PORT`");
    None
}

fn database_url(value: &Value<'_>) -> Option<String> {
    let text = value.line()?;
    let Some((_, rest)) =
        text.split_once("://").filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme))
    else {
        value.refuse(
            "is no address of a PostgreSQL database",
            "write `postgres://USER@HOST:5432/DATABASE?sslmode=require`",
        );
        return None;
    };
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || rest.contains("password=") {
        value.refuse(
            "holds a password, which would enter the journal",
            "put the whole address into an environment variable, and name that in `url_env`",
        );
        return None;
    }
    Some(text)
}
