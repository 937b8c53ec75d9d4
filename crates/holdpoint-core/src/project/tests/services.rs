//! The services: each one, and among each other.

use insta::assert_snapshot;

use super::*;

/// A service after the least project's, with this instead of its last part.
fn told_second_service(name: &str, rest: &str) -> String {
    told_after_least(&format!(
        "[[services]]\nname = \"{name}\"\nbuild = {{ command = [\"make\"], binary = \"b\" }}\n{rest}"
    ))
}

#[test]
fn services_must_be_told_apart() {
    let places = "staging = { config = \"staging.toml\" }\nproduction = { config = \"b.toml\" }\n";
    assert_snapshot!(told_second_service("api", places), @r"
    15:8: error: there are two services called `api`
      hint: rename or remove one of them; the first is on line 10
    17:22: error: `staging.toml` is already another app's config, and one app cannot serve two purposes
      hint: give each service a file of its own for staging and for production
    ");
}

#[test]
fn a_service_needs_a_build_and_both_environments() {
    assert_snapshot!(told_second_service("web", "staging = {}\n"), @r#"
    14:1: error: the service `web` has no `[services.production]`
      hint: add `[services.production]` with `config` below its `[[services]]`
    17:11: error: `config` is missing in `services.staging`
      hint: add for example `config = "fly.toml"`
    "#);
    assert_snapshot!(told_with("build = { command = [\"make\"], binary = \"api\" }\n", ""), @r"
    9:1: error: the service `api` has no `[services.build]`
      hint: add `[services.build]` with `command` below its `[[services]]`
    ");
}

#[test]
fn what_comes_after_what_must_be_known() {
    let places = "staging = { config = \"s\" }\nproduction = { config = \"p\" }\n";
    assert_snapshot!(told_second_service("web", &format!("after = [\"apo\", \"queue\"]\n{places}")), @r"
    17:10: error: `web` comes after `apo`, which is no service of this project
      hint: did you mean `api`?
    17:17: error: `web` comes after `queue`, which is no service of this project
      hint: name a service of this file, or remove it
    ");
}

#[test]
fn an_order_without_a_beginning_is_told_as_a_circle() {
    let service = |name: &str, after: &str| {
        format!(
            "[[services]]\nname = \"{name}\"\nafter = {after}\nbuild = {{ command = [\"make\"], binary = \"b\" }}\nstaging = {{ config = \"{name}.s\" }}\nproduction = {{ config = \"{name}.p\" }}\n"
        )
    };
    let circle = service("a", "[\"api\", \"c\"]")
        + &service("b", "[\"a\"]")
        + &service("c", "[\"b\"]")
        + &service("d", "[\"c\"]")
        + &service("e", "[\"e\"]");
    assert_snapshot!(told_after_least(&circle), @r"
    16:17: error: the order has no beginning: `a` comes after `c`, which comes after `b`, which comes after `a`
      hint: remove one of these from `after`
    40:10: error: the order has no beginning: `e` comes after `e`
      hint: remove one of these from `after`
    ");
}

#[test]
fn services_are_ordered_by_after_and_else_stay_as_written() {
    let service = |name: &str, after: &[&str]| Service {
        name: name.to_owned(),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        ..parse(LEAST).0.unwrap().services.remove(0)
    };
    let ordered = |services: Vec<Service>| {
        Project { services, ..parse(LEAST).0.unwrap() }.service_order().join(" ")
    };
    assert_eq!(ordered(vec![service("c", &["a"]), service("b", &[]), service("a", &[])]), "b a c");
    assert_eq!(ordered(vec![service("b", &[]), service("a", &[])]), "b a");
    assert_eq!(ordered(vec![service("b", &["elsewhere"]), service("a", &["a"])]), "b a");
}

#[test]
fn builds_and_smoke_checks_are_checked() {
    let text = r#"
[[services.smoke]]
name = "one"
method = "get"
path = "health"
headers = { "bad header" = "x", accept = 3 }
expect_status = 999
within = "1h"
[[services.smoke]]
name = "one"
path = "/with space"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:10: error: `services.smoke.method` names `get`, which is no HTTP method
      hint: did you mean `GET`?
    18:8: error: `health` is no path of a request
      hint: begin it with `/` and write spaces as `%20`; the host comes from the app
    19:28: error: `services.smoke.headers.bad header` cannot be sent as a header
      hint: use letters, digits and hyphens in its name, and ASCII in its value
    19:42: error: `services.smoke.headers.accept` must be text, but it is a whole number
      hint: write for example `accept = "…"`
    20:17: error: `services.smoke.expect_status` is 999, which is out of range
      hint: use 100 to 599
    21:10: error: `services.smoke.within` is `1h`, which is out of range
      hint: use 1ms to 5m
    23:8: error: there are two smoke checks called `one`
      hint: rename or remove one of them; the first is on line 16
    24:8: error: `/with space` is no path of a request
      hint: begin it with `/` and write spaces as `%20`; the host comes from the app
    "#);
    assert_snapshot!(
        told_with(
            "command = [\"make\"], binary = \"api\"",
            "command = [], binary = \"\", files = [{ from = \"docs\", to = \"../docs\" }], environment = { \"1X\" = \"y\", Z = 1 }"
        ),
        @r#"
    11:21: error: `services.build.command` is empty
      hint: name the program that builds the service and its arguments
    11:34: error: `services.build.binary` is empty
      hint: write a text, or remove the key if it is optional
    11:69: error: `../docs` is no absolute path inside the image
      hint: write it from the root on: `to = "/docs"`
    11:106: error: `services.build.environment.1X` cannot be set, because its name is no name of an environment variable
      hint: use letters, digits and underscores
    11:115: error: `services.build.environment.Z` must be text, but it is a whole number
      hint: write for example `Z = "…"`
    "#
    );
    assert_snapshot!(told_with("staging =", "required_secrets = [\"API-KEY\", \"A\", \"A\"]\nstaging ="), @r"
    12:21: error: `API-KEY` cannot be the name of a secret, because it becomes an environment variable
      hint: use letters, digits and underscores, as in `DATABASE_URL`; the value never stands here
    12:37: error: there are two required secrets called `A`
      hint: rename or remove one of them; the first is on line 12
    ");
}
