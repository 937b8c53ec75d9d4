//! What becomes of a `fly.toml`: the config of new machines, and what an update changes of those
//! that are there. Single forms stand in `fly_toml_forms`.

use machines_api::fly_toml::{Severity, check, fix, parse};
use machines_api::types::{Autostop, MachineConfig};
use proptest::prelude::*;

fn accepted(text: &str) -> MachineConfig {
    parse(text).expect(text).machine_config("image")
}

const COMPLETE: &str = r#"
app = "shop"
primary_region = "ord"
kill_signal = "SIGTERM"
kill_timeout = 30

[env]
LOG = "info"
WORKERS = 4

[http_service]
internal_port = 8080
force_https = true
auto_stop_machines = "stop"
auto_start_machines = true
min_machines_running = 1
[http_service.concurrency]
type = "requests"
soft_limit = 20
[[http_service.checks]]
interval = "15s"
timeout = "10s"
grace_period = "30s"
method = "GET"
path = "/health"

[mounts]
source = "data"
destination = "/data"
initial_size = "2gb"

[[vm]]
cpu_kind = "shared"
cpus = 2
memory = "512mb"
"#;

#[test]
fn a_complete_file_becomes_a_machine_config() {
    insta::assert_json_snapshot!(accepted(COMPLETE), @r#"
    {
      "image": "image",
      "guest": {
        "cpu_kind": "shared",
        "cpus": 2,
        "memory_mb": 512
      },
      "env": {
        "FLY_PROCESS_GROUP": "app",
        "LOG": "info",
        "PRIMARY_REGION": "ord",
        "WORKERS": "4"
      },
      "metadata": {
        "fly_platform_version": "v2",
        "fly_process_group": "app"
      },
      "services": [
        {
          "protocol": "tcp",
          "internal_port": 8080,
          "autostart": true,
          "autostop": true,
          "min_machines_running": 1,
          "ports": [
            {
              "port": 80,
              "handlers": [
                "http"
              ],
              "force_https": true
            },
            {
              "port": 443,
              "handlers": [
                "http",
                "tls"
              ]
            }
          ],
          "checks": [
            {
              "type": "http",
              "interval": "15s",
              "timeout": "10s",
              "grace_period": "30s",
              "method": "GET",
              "path": "/health"
            }
          ],
          "concurrency": {
            "type": "requests",
            "soft_limit": 20
          }
        }
      ],
      "stop_config": {
        "timeout": "30s",
        "signal": "SIGTERM"
      },
      "mounts": [
        {
          "path": "/data",
          "name": "data",
          "size_gb": 2
        }
      ]
    }
    "#);
}

#[test]
fn the_planner_reads_what_it_needs() {
    let config = parse(COMPLETE).unwrap();
    assert_eq!(config.app.as_deref(), Some("shop"));
    assert_eq!(config.primary_region.as_deref(), Some("ord"));
    assert_eq!((config.memory_mb(), config.cpus()), (512, 2));
    assert_eq!(config.cpu_kind(), "shared");
    assert_eq!(config.min_machines_running(), 1);
    assert_eq!(config.auto_stop(), Autostop::Stop);
    assert!(config.auto_start());
    assert_eq!(config.health_check_path(), Some("/health"));
}

#[test]
fn an_empty_file_means_the_documented_defaults() {
    let config = parse("").unwrap();
    assert_eq!((config.memory_mb(), config.cpus()), (256, 1));
    assert_eq!((config.auto_stop(), config.auto_start()), (Autostop::Off, true));
    assert_eq!(config.machine_config("image").guest, None);
}

#[test]
fn an_unknown_key_is_an_error_only_for_who_asks() {
    let text = "app = \"shop\"\n[http_service]\nintrenal_port = 1";
    assert!(check(text, Severity::Warning).config.is_some());
    let strict = check(text, Severity::Error);
    assert!(strict.config.is_none());
    assert_eq!(
        strict.diagnostics[0].to_string(),
        "3:1: `http_service.intrenal_port` is no setting that Fly knows, and its client ignores it\nhint: did you mean `internal_port`?"
    );
}

#[test]
fn many_warnings_hide_no_error() {
    let unknown: Vec<String> = (0..200).map(|number| format!("odd_{number} = 1")).collect();
    assert!(parse(&format!("{}\napp = 1\n", unknown.join("\n"))).is_err());
}

#[test]
fn files_statics_and_metrics_go_to_the_machine() {
    let config = accepted(
        "[[files]]\nguest_path = \"/a\"\nraw_value = \"hi\"\n\
         [[files]]\nguest_path = \"/b\"\nsecret_name = \"B\"\n\
         [[statics]]\nguest_path = \"/s\"\nurl_prefix = \"/s\"\n\
         [experimental]\nmetrics_port = 9091\nmetrics_path = \"/m\"\n",
    );
    let expected = serde_json::json!({
        "files": [
            {"guest_path": "/a", "raw_value": "aGk="},
            {"guest_path": "/b", "secret_name": "B"},
        ],
        "metrics": {"path": "/m", "port": 9091},
        "statics": [{"guest_path": "/s", "url_prefix": "/s"}],
    });
    assert_eq!(serde_json::to_value(config.rest).unwrap(), expected);
}

const GROUPS: &str = r#"
[env]
LOG = "info"
[processes]
app = "/app 'a b'"
worker = "/work"
[http_service]
processes = ["app"]
[[services]]
internal_port = 9000
processes = ["worker"]
[[services.ports]]
port = 9000
[checks.alive]
type = "tcp"
[checks.busy]
type = "tcp"
port = 9000
processes = ["worker", "app"]
[[vm]]
memory = 512
[[vm]]
memory = 1024
processes = ["app"]
[[mounts]]
source = "jobs"
destination = "/jobs"
processes = ["worker"]
[[files]]
guest_path = "/a"
raw_value = "hi"
processes = ["worker"]
[[restart]]
policy = "always"
processes = ["worker"]
[[metrics]]
port = 9091
path = "/metrics"
"#;

#[test]
fn each_process_group_gets_what_is_for_it() {
    let file = parse(GROUPS).unwrap();
    assert_eq!(file.groups().collect::<Vec<_>>(), ["app", "worker"]);
    assert_eq!(file.default_group(), "app");
    let app = file.machine_config_of("app", "image");
    let worker = file.machine_config_of("worker", "image");
    assert_eq!(file.machine_config("image"), app);
    for (config, group) in [(&app, "app"), (&worker, "worker")] {
        assert_eq!(config.metadata["fly_process_group"], group);
        assert_eq!(
            (config.env["FLY_PROCESS_GROUP"].as_str(), &*config.env["LOG"]),
            (group, "info")
        );
        assert_eq!(config.services.len(), 1);
    }
    assert_eq!(app.init.unwrap().cmd, ["/app", "a b"]);
    assert_eq!(worker.init.unwrap().cmd, ["/work"]);
    assert_eq!((app.guest.unwrap().memory_mb, worker.guest.unwrap().memory_mb), (1024, 512));
    // What names no group is for the default one, except a size.
    let checks =
        |checks: &std::collections::BTreeMap<String, _>| checks.keys().cloned().collect::<Vec<_>>();
    assert_eq!((checks(&app.checks).len(), checks(&worker.checks)), (2, vec!["busy".to_owned()]));
    assert_eq!((app.mounts.len(), worker.mounts.len()), (0, 1));
    assert_eq!((app.restart.is_some(), worker.restart.is_some()), (false, true));
    assert_eq!((app.rest.contains_key("metrics"), app.rest.contains_key("files")), (true, false));
    assert_eq!(
        (worker.rest.contains_key("metrics"), worker.rest.contains_key("files")),
        (false, true)
    );
}

/// A machine that was changed by other means than its file.
fn existing(group: &str) -> MachineConfig {
    let config = serde_json::json!({
        "image": "old",
        "guest": {"cpu_kind": "performance", "cpus": 4, "memory_mb": 8192},
        "env": {"OLD": "1"},
        "init": {"exec": ["/old"], "cmd": ["old"], "tty": true},
        "metadata": {"fly_process_group": group, "fly_release_id": "r1", "own": "kept"},
        "services": [{"internal_port": 1}],
        "checks": {"old": {"type": "tcp", "port": 1}},
        "restart": {"policy": "always"},
        "stop_config": {"signal": "SIGHUP"},
        "mounts": [{"volume": "vol_1", "path": "/old", "name": "jobs"}],
        "auto_destroy": true,
        "files": [{"guest_path": "/old", "raw_value": "eA=="}],
        "metrics": {"port": 1},
        "statics": [{"guest_path": "/old", "url_prefix": "/"}],
        "schedule": "daily",
        "standbys": ["m1"],
        "dns": {"skip_registration": true},
    });
    serde_json::from_value(config).expect("a config")
}

#[test]
fn an_update_keeps_what_the_file_does_not_manage_and_makes_the_rest_anew() {
    let updated = parse("app = \"shop\"").unwrap().updated_config(&existing("app"), "new");
    let expected = serde_json::json!({
        "image": "new",
        "guest": {"cpu_kind": "performance", "cpus": 4, "memory_mb": 8192},
        "env": {"FLY_PROCESS_GROUP": "app"},
        "init": {"tty": true},
        "metadata": {
            "fly_platform_version": "v2", "fly_process_group": "app", "fly_release_id": "r1",
            "own": "kept",
        },
        "auto_destroy": true,
        "schedule": "daily",
        "standbys": ["m1"],
        "dns": {"skip_registration": true},
    });
    assert_eq!(serde_json::to_value(updated).unwrap(), expected);
    let sized = parse("[vm]\nmemory = 512").unwrap().updated_config(&existing("app"), "new");
    assert_eq!(sized.guest.unwrap().memory_mb, 512);
}

#[test]
fn an_updated_machine_stays_in_its_process_group_and_on_its_volume() {
    let file = parse(GROUPS).unwrap();
    let worker = file.updated_config(&existing("worker"), "new");
    assert_eq!(worker.metadata["fly_process_group"], "worker");
    assert_eq!(worker.init.unwrap().cmd, ["/work"]);
    let [mount] = worker.mounts.as_slice() else { panic!("{:?}", worker.mounts) };
    assert_eq!((mount.volume.as_deref(), mount.path.as_str()), (Some("vol_1"), "/jobs"));
    let stray = file.updated_config(&existing("gone"), "new");
    assert_eq!(stray.metadata["fly_process_group"], "app");
    let other = GROUPS.replace("source = \"jobs\"", "source = \"other\"");
    let other = parse(&other).unwrap().updated_config(&existing("worker"), "new");
    assert_eq!(other.mounts[0].volume, None, "the file asks for another volume");
}

#[test]
fn local_files_go_along_once_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.conf"), b"\xffhi").unwrap();
    let text = "[[files]]\nguest_path = \"/a\"\nlocal_path = \"app.conf\"";
    let mut file = parse(text).unwrap();
    assert!(!file.machine_config("image").rest.contains_key("files"), "nothing is sent unread");
    file.read_local_files(folder.path()).unwrap();
    let files = serde_json::json!([{"guest_path": "/a", "raw_value": "/2hp"}]);
    assert_eq!(file.machine_config("image").rest["files"], files);

    let missing = parse(&text.replace("app.conf", "absent")).unwrap();
    let told = missing.clone().read_local_files(folder.path()).unwrap_err().to_string();
    assert!(told.contains("absent`") && told.contains("hint: the path counts from"), "{told}");
    std::fs::write(folder.path().join("absent"), vec![0; 300_000]).unwrap();
    let told = missing.clone().read_local_files(folder.path()).unwrap_err().to_string();
    assert!(told.contains("more than 262144 bytes"), "{told}");
}

#[test]
fn a_place_counts_characters_and_lines() {
    let problems = parse("# ä\n[http_service]\ninternal_port = \"ö\"").unwrap_err();
    assert_eq!((problems[0].line, problems[0].column), (3, 17));
}

/// Pieces of which broken and whole files are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "[http_service]\n",
            "[[http_service.checks]]\n",
            "[http_service.checks]\n",
            "[services]\n",
            "[[services]]\n",
            "[[services.ports]]\n",
            "[vm]\n",
            "[[vm]]\n",
            "[mounts]\n",
            "[checks.a]\n",
            "[[checks]]\n",
            "[processes]\n",
            "[deploy]\n",
            "[env]\n",
            "[experimental]\n",
            "[[restart]]\n",
        ])
        .prop_map(str::to_owned),
        (
            prop::sample::select(vec![
                "app",
                "internal_port",
                "interval",
                "auto_stop_machines",
                "concurrency",
                "memory",
                "memory_mb",
                "size",
                "headers",
                "processes",
                "kill_timeout",
                "initial_size",
                "type",
                "http_service",
                "services",
                "checks",
                "vm",
                "env",
                "mounts",
                "max_unavailable",
            ]),
            prop::sample::select(vec![
                "1",
                "-1",
                "9223372036854775807",
                "99999999999999999999",
                "0x7f",
                "1.5",
                "nan",
                "true",
                "\"\"",
                "\"ä\"",
                "\"15s\"",
                "\"9999999999999999999h\"",
                "[]",
                "[1]",
                "[{}]",
                "{}",
                "{a = {b = 1}}",
                "1979-05-27",
                "\"99999999999999999999gb\"",
                "\"1,2\"",
                "\"'\"",
            ]),
        )
            .prop_map(|(key, value)| format!("{key} = {value}\n")),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(pieces in prop::collection::vec(piece(), 0..12)) {
        let text = pieces.concat();
        let fixed = fix(&text, Severity::Warning);
        prop_assert!(fixed.edits > 0 || fixed.text == text);
        let again = fix(&fixed.text, Severity::Warning);
        prop_assert_eq!(&again.text, &fixed.text);
        if fixed.edits > 0 {
            prop_assert!(toml::from_str::<toml::Table>(&fixed.text).is_ok());
        }
        match parse(&text) {
            Ok(config) => {
                let config = config.machine_config("image");
                let written = serde_json::to_string(&config).unwrap();
                prop_assert_eq!(serde_json::from_str::<MachineConfig>(&written).unwrap(), config);
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(problem.line >= 1 && problem.column >= 1);
                    prop_assert!(problem.span.end <= text.len());
                    prop_assert!(!problem.hint.is_empty());
                }
            }
        }
    }
}
