//! Asks an MCP server: agrees on the protocol, the newest that both speak, lists the tools, calls
//! one, and looks for a citation in its answer.

use std::time::Duration;

use holdpoint_core::project::smoke::McpCheck;
use holdpoint_core::project::smoke::template;
use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation,
    PaginatedRequestParams, ProtocolVersion,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::Value;

use super::{Context, StepReport, Trouble, quoted};
use crate::adapter::clock::Stopwatch;
use crate::adapter::http_client;
use crate::adapter::probe::Address;

/// The largest answer that is read.
const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// How many pages of tools are asked for; a server with more has no end.
const PAGES_LIMIT: usize = 20;

/// What names the place that a passage is from.
const PLACE_FIELDS: [&str; 6] = ["path", "url", "uri", "source", "href", "title"];

/// The steps, in order.
const STEPS: [&str; 3] = ["agrees on the protocol", "lists its tools", "cites where it is from"];

type Connection = RunningService<RoleClient, ClientConfig>;

pub(super) async fn ask(context: &Context<'_>, check: &McpCheck) -> (Vec<StepReport>, Vec<String>) {
    let [agree, list, call] = STEPS;
    let rest = |from: usize| STEPS.iter().skip(from).map(|step| (*step).to_owned()).collect();
    let limit = Duration::from_millis(check.within_ms);
    let asked = format!("MCP at {} of `{}`", check.path, context.target.app);
    let watch = Stopwatch::start();
    let connected = within(context, limit, Box::pin(connect(context, check))).await;
    let connection = match connected {
        Ok(connection) => connection,
        Err(trouble) => {
            let report = StepReport::new(agree, asked, Err(trouble), watch);
            return (vec![report], rest(1));
        }
    };
    let mut reports = vec![StepReport::new(agree, asked, Ok(spoken(&connection)), watch)];

    let watch = Stopwatch::start();
    let listed = within(context, limit, list_tools(context, check, &connection)).await;
    let is_over = listed.is_err();
    reports.push(StepReport::new(list, "tools/list".to_owned(), listed, watch));
    if is_over {
        return (reports, rest(2));
    }

    let watch = Stopwatch::start();
    let called = within(context, limit, call_tool(context, check, &connection)).await;
    let asked =
        format!("tools/call `{}` with {}", check.tool, quoted(&check.arguments.to_string()));
    reports.push(StepReport::new(call, asked, called, watch));
    (reports, Vec::new())
}

async fn within<T>(
    context: &Context<'_>,
    limit: Duration,
    asked: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_elapsed| {
        Err(Trouble::new(
            format!("no answer within {} ms", limit.as_millis()),
            format!("{}; or raise `within`", context.logs_hint()),
        ))
    })
}

async fn connect(context: &Context<'_>, check: &McpCheck) -> Result<Connection, Trouble> {
    let Address { base_url, host_header } = context.smoker.prober.address(&context.target.app);
    let mut headers = HeaderMap::new();
    if let Some(host) = host_header.as_deref().and_then(|host| HeaderValue::from_str(host).ok()) {
        headers.insert(HOST, host);
    }
    let fill = |text: &str, encode: fn(&str) -> String| {
        template::fill(text, &context.variables, encode)
            .map_err(|name| Trouble::new(format!("`{{{name}}}` has no value"), "correct the check"))
    };
    for (name, value) in &check.headers {
        let value = fill(value, template::as_it_is)?;
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    let path = fill(&check.path, template::as_path)?;
    let client = http_client::builder_for(&base_url).default_headers(headers).build();
    let client = client.map_err(|error| {
        Trouble::new(http_client::described(error), "check the address of the platform")
    })?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(format!("{base_url}{path}"));
    config.max_json_response_size = ANSWER_LIMIT_BYTES;
    config.max_sse_event_size = ANSWER_LIMIT_BYTES;
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let about = Implementation::new("holdpoint", env!("CARGO_PKG_VERSION"));
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::LATEST],
        legacy_version: None,
    };
    let connecting = ClientConfig::new(ClientCapabilities::default(), about)
        .serve_with_lifecycle(transport, lifecycle);
    connecting.await.map_err(|error| {
        Trouble::new(
            format!("no MCP server answers: {}", quoted(&error.to_string())),
            format!("check `path` of the check; {}", context.logs_hint()),
        )
    })
}

/// Which protocol was agreed on, and with whom.
fn spoken(connection: &Connection) -> String {
    match connection.peer().peer_info() {
        Some(info) => {
            let who = info.server_info.as_ref();
            let who =
                who.map_or_else(String::new, |it| format!(" with {} {}", it.name, it.version));
            format!("protocol {}{}", info.protocol_version, quoted(&who))
        }
        None => "agreed".to_owned(),
    }
}

async fn list_tools(
    context: &Context<'_>,
    check: &McpCheck,
    connection: &Connection,
) -> Result<String, Trouble> {
    let mut names: Vec<String> = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_LIMIT {
        let part = cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let page = connection.peer().list_tools(part).await;
        let page = page.map_err(|error| {
            Trouble::new(format!("refused: {}", quoted(&error.to_string())), context.logs_hint())
        })?;
        names.extend(page.tools.iter().map(|tool| tool.name.to_string()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let listed = if listed.is_empty() { "no tool at all".to_owned() } else { quoted(&listed) };
    if names.contains(&check.tool) {
        Ok(listed)
    } else {
        let found = format!("no tool `{}`; there is {listed}", check.tool);
        Err(Trouble::new(found, "correct `tool`, or look why the server offers it no more"))
    }
}

async fn call_tool(
    context: &Context<'_>,
    check: &McpCheck,
    connection: &Connection,
) -> Result<String, Trouble> {
    let arguments = check.arguments.as_object().cloned().unwrap_or_default();
    let request = CallToolRequestParams::new(check.tool.clone()).with_arguments(arguments);
    let result = connection.peer().call_tool(request).await;
    let result = result.map_err(|error| {
        Trouble::new(format!("refused: {}", quoted(&error.to_string())), context.logs_hint())
    })?;
    let result = serde_json::to_value(&result).unwrap_or_default();
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        let found = format!("the tool failed: {}", quoted(&result.to_string()));
        return Err(Trouble::new(found, context.logs_hint()));
    }
    if let Some(place) = citation(&result, check.cites.as_deref()) {
        return Ok(format!("cites `{}`", quoted(&place)));
    }
    let wanted = check.cites.as_ref().map_or_else(String::new, |text| format!(" of `{text}`"));
    let found = format!("no citation{wanted}: {}", quoted(&result.to_string()));
    let hint = "a citation is a passage with a `path`, `url`, `uri`, `source` or `title`, or a \
                link; check what the server knows, and `arguments` and `cites`";
    Err(Trouble::new(found, hint))
}

/// The place that the first fitting passage is from: of the structured content, of links and
/// resources, of JSON in a text, or an address in a text.
fn citation(result: &Value, cites: Option<&str>) -> Option<String> {
    let wanted = cites.map(str::to_lowercase);
    let structured = result.get("structuredContent");
    if let Some(place) = structured.and_then(|value| cited_in(value, wanted.as_deref())) {
        return Some(place);
    }
    let blocks = result.get("content").and_then(Value::as_array)?;
    blocks.iter().find_map(|block| {
        let text = block.get("text").and_then(Value::as_str);
        let Some(text) = text else { return cited_in(block, wanted.as_deref()) };
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            return cited_in(&value, wanted.as_deref());
        }
        let fits = wanted.as_deref().is_none_or(|wanted| text.to_lowercase().contains(wanted));
        let is_end = |one: char| one.is_whitespace() || "()<>[]\"'".contains(one);
        let mut words = text.split(is_end);
        words.find(|word| fits && is_address(word)).map(str::to_owned)
    })
}

fn cited_in(value: &Value, wanted: Option<&str>) -> Option<String> {
    match value {
        Value::Object(fields) => {
            let texts = || fields.values().filter_map(Value::as_str);
            let mut places = PLACE_FIELDS.iter().filter_map(|name| fields.get(*name)?.as_str());
            let place = places.find(|place| !place.trim().is_empty());
            let fits = wanted
                .is_none_or(|wanted| texts().any(|text| text.to_lowercase().contains(wanted)));
            place
                .filter(|_| fits && fields.len() > 1)
                .map(str::to_owned)
                .or_else(|| fields.values().find_map(|value| cited_in(value, wanted)))
        }
        Value::Array(items) => items.iter().find_map(|item| cited_in(item, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn is_address(word: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        word.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_citation_is_found_wherever_servers_put_it() {
        let passage =
            json!({ "title": "Shipping", "path": "docs/shipping.md", "text": "Two days." });
        let as_text = json!({ "passages": [passage] }).to_string();
        for (result, place) in [
            (
                json!({ "structuredContent": { "passages": [passage] }, "content": [] }),
                "docs/shipping.md",
            ),
            (json!({ "content": [{ "type": "text", "text": as_text }] }), "docs/shipping.md"),
            (
                json!({ "content": [{ "type": "text", "text": "Shipping: see (https://a.b/shipping)." }] }),
                "https://a.b/shipping",
            ),
            (
                json!({ "content": [{ "type": "resource_link", "uri": "file:///a", "name": "shipping" }] }),
                "file:///a",
            ),
        ] {
            assert_eq!(citation(&result, None).as_deref(), Some(place), "{result}");
            assert_eq!(citation(&result, Some("SHIPPING")).as_deref(), Some(place), "{result}");
            assert_eq!(citation(&result, Some("returns")), None, "{result}");
        }
    }

    #[test]
    fn an_answer_without_a_place_is_no_citation() {
        for result in [
            json!({ "structuredContent": { "abstained": true, "passages": [] }, "content": [] }),
            json!({ "content": [{ "type": "text", "text": "It takes two days; http:// is no place." }] }),
            json!({ "structuredContent": { "passages": [{ "path": " ", "text": "x" }] } }),
            json!({}),
        ] {
            assert_eq!(citation(&result, None), None, "{result}");
        }
    }
}
