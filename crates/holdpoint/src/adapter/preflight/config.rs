//! Whether the apps' configs follow the runbook's rules, which the core knows. Each is about one
//! field, and may be allowed to be otherwise.

use std::path::Path;

use holdpoint_core::app_config::{self as rules, AppConfig, Departure};
use holdpoint_core::id::Environment;
use holdpoint_core::project::{PreflightPolicy, Service};
use machines_api::types::Autostop;
use toml::Table;

use super::app_config;
use super::finding::{Finding, Lack};

pub(super) fn look(root: &Path, policy: &PreflightPolicy, service: &Service) -> Finding {
    let mut departures = Vec::new();
    let mut apps = Vec::new();
    for environment in [Environment::Staging, Environment::Production] {
        let config = facts(root, service, environment)?;
        departures.extend(rules::departures(&config));
        apps.push(format!("`{}`", config.app));
    }
    let (mut wrong, mut mends, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
    for Departure { field, what, mend } in departures {
        if let Some(reason) = policy.allows_field(&service.name, field) {
            allowed.push(format!("{what}, allowed: {reason}"));
            continue;
        }
        wrong.push(what);
        mends.push(mend);
    }
    if wrong.is_empty() {
        let allowed: Vec<String> = allowed.into_iter().map(|text| format!("; {text}")).collect();
        return Ok(format!("{} follow the runbook{}", apps.join(" and "), allowed.concat()));
    }
    Err(Lack::new(wrong.join("; "), mends.join("; ")))
}

/// What the rules look at: as Fly understands the file, and as it is written.
fn facts(root: &Path, service: &Service, environment: Environment) -> Result<AppConfig, Lack> {
    let file = app_config::read(root, service, environment)?;
    let text = app_config::text(root, service, environment)?;
    let written: Table = toml::from_str(&text).unwrap_or_default();
    let services = services(&written);
    Ok(AppConfig {
        app: file.app,
        environment,
        file: service.placement(environment).config.clone(),
        is_serving: !services.is_empty(),
        stops_when_idle: file.config.auto_stop() != Autostop::Off,
        starts_by_request: file.config.auto_start(),
        says_how_many_always_run: services
            .iter()
            .any(|service| service.contains_key("min_machines_running")),
        says_its_size: written.contains_key("vm"),
        has_health_check: file.config.health_check_path().is_some(),
    })
}

/// The services as they are written.
fn services(written: &Table) -> Vec<&Table> {
    let http = written.get("http_service").and_then(toml::Value::as_table);
    let others = written.get("services").and_then(toml::Value::as_array);
    let others = others.into_iter().flatten().filter_map(toml::Value::as_table);
    http.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parity::tests::service;
    use super::*;

    const RIGHT: &str = r#"
[http_service]
internal_port = 8080
auto_stop_machines = "stop"
auto_start_machines = true
min_machines_running = 0
[[http_service.checks]]
path = "/health"
[[vm]]
memory = "512mb"
"#;

    fn told(staging: &str, production: &str, rules: &str) -> Finding {
        let (directory, service, policy) = service(staging, production, rules);
        look(directory.path(), &policy, &service)
    }

    #[test]
    fn each_rule_of_the_runbook_names_the_file_and_the_line_to_write() {
        let of = |app: &str, text: &str| format!("app = \"{app}\"\n{text}");
        let right = of("shop", RIGHT);
        let staging = of("shop-staging", RIGHT);
        assert!(told(&staging, &right, "").is_ok());
        let without = |line: &str| of("shop", &RIGHT.replace(line, ""));
        for (staging, production, what, mend) in [
            (
                of("shop-test", RIGHT),
                right.clone(),
                "does not end in `-staging`",
                "shop-test-staging",
            ),
            (staging.clone(), of("a-staging", RIGHT), "named like a staging app", "another app"),
            (
                staging.clone(),
                without("auto_stop_machines = \"stop\"\n"),
                "do not stop when they are idle",
                "auto_stop_machines = \"stop\"` in `production.toml",
            ),
            (
                staging.clone(),
                right.replace("auto_start_machines = true", "auto_start_machines = false"),
                "not started by a request",
                "auto_start_machines = true",
            ),
            (
                staging.clone(),
                without("min_machines_running = 0\n"),
                "always run",
                "min_machines_running",
            ),
            (
                staging.clone(),
                without("[[vm]]\nmemory = \"512mb\"\n"),
                "not written down",
                "[[vm]]",
            ),
            (
                staging.clone(),
                without("[[http_service.checks]]\npath = \"/health\"\n"),
                "no health check",
                "/health",
            ),
            ("app = ".to_owned(), right.clone(), "staging.toml", "mend `staging.toml`"),
        ] {
            let Lack { detail, hint } = told(&staging, &production, "").expect_err(what);
            assert!(detail.contains(what) && hint.contains(mend), "{detail}: {hint}");
        }
    }

    #[test]
    fn a_rule_may_be_departed_from_with_a_reason() {
        let right = format!("app = \"shop\"\n{RIGHT}");
        let staging = format!("app = \"shop-staging\"\n{RIGHT}").replace("\"stop\"", "\"off\"");
        let rule = "[[preflight.allowed]]\nservice = \"api\"\n\
                    field = \"http_service.auto_stop_machines\"\nreason = \"it warms up slowly\"\n";
        let detail = told(&staging, &right, rule).expect("allowed");
        assert!(detail.contains("allowed: it warms up slowly"), "{detail}");
        assert!(told(&staging, &right, &rule.replace("stop", "start")).is_err());
    }

    #[test]
    fn a_worker_that_serves_nobody_needs_no_rules_of_serving() {
        let text = "[[vm]]\nmemory = \"512mb\"\n[processes]\napp = \"work\"\n";
        let of = |app: &str| format!("app = \"{app}\"\n{text}");
        assert!(told(&of("shop-staging"), &of("shop"), "").is_ok());
    }
}
