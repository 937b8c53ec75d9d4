//! What a `fly.toml` may say: accepted where Fly's client accepts it, refused
//! with the place and the mend where Fly's client refuses it.

use machines_api::fly_toml::{Diagnostic, Severity, check, fix, parse};
use machines_api::types::{Autostop, CheckType, ConcurrencyType, MachineConfig, WireDuration};
use proptest::prelude::*;

fn accepted(text: &str) -> MachineConfig {
    parse(text).expect(text).machine_config("image")
}

fn refused(text: &str) -> String {
    let problems = parse(text).expect_err(text);
    problems.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
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
fn an_example_that_fly_refuses_is_told_with_its_mend() {
    insta::assert_snapshot!(refused(r#"
app = "shop"
primary_region = "ord"

[build]
  dockerfile = "Dockerfile"

[http_service]
  internal_port = 8080
  force_https = true
  auto_stop_machines = true
  auto_start_machines = true
  min_machines_running = 0

[http_service.checks]
  interval = "15s"
  timeout = "10s"
  grace_period = "30s"
  method = "GET"
  path = "/health"

[vm]
  cpu_kind = "shared"
  cpus = 1
  memory = "512mb"  # Adjust based on monitoring

[[services.tcp_checks]]
  interval = "15s"
  timeout = "10s"
"#), @r#"
    15:1: `http_service.checks` is a table, but must be a list of tables
    hint: write `[[http_service.checks]]` with double brackets
    "#);
}

#[test]
fn every_form_that_fly_accepts_is_accepted() {
    for text in [
        "[http_service]\nauto_stop_machines = true",
        "[http_service]\nauto_stop_machines = \"suspend\"",
        "[vm]\nmemory = 512",
        "[[vm]]\nsize = \"shared-cpu-2x\"",
        "[compute]\nmemory_mb = 512",
        "[[computes]]\nmemory = \"1gb\"",
        "[mount]\nsource = \"d\"\ndestination = \"/d\"",
        "[[mounts]]\nsource = \"d\"\ndestination = \"/d\"\ninitial_size = 3",
        "[metrics]\nport = 9091\npath = \"/metrics\"",
        "[services]\ninternal_port = \"8080\"\n[services.ports]\nport = \"80\"\nhandlers = [\"http\"]",
        "[[services]]\ninternal_port = 8080\n[services.tcp_checks]\ninterval = 15000",
        "[[services]]\ninternal_port = 1\n[[services.http_checks]]\nheaders = [{name = \"a\", value = 1}]",
        "[[services]]\nconcurrency = \"20,25\"",
        "[[http_service.checks]]\ninterval = \"15s\"\n[http_service.checks.headers]\nA = \"b\"",
        "[[http_service.checks]]\ninterval = 15000",
        "[[env]]\nA = true\n[[env]]\nB = 1.5",
        "[[processes]]\nname = \"app\"\ncommand = \"/app\"",
        "[processes]\napp = \"/app serve\"\n[http_service]\nprocesses = [\"app\"]",
        "[[checks]]\nname = \"alive\"\ntype = \"tcp\"\nport = 8080",
        "[checks.alive]\ntype = \"http\"\nport = 8080\npath = \"/\"\nheaders = {A = \"b\"}",
        "[experimental]\ncmd = \"a\"\nkill_timeout = \"10s\"",
        "[http_service]\n[[services.http_checks]]\npath = \"/\"",
        "[[restart]]\npolicy = \"never\"",
        "[deploy]\nstrategy = \"bluegreen\"\nmax_unavailable = 0.25\nwait_timeout = \"5m\"",
        "kill_timeout = \"1m\"\nunknown_key = 1\n[unknown_section]\na = 1",
        "[HTTP_Service]\nInternal_Port = 9000",
    ] {
        accepted(text);
    }
}

#[test]
fn every_form_that_fly_refuses_is_refused_with_a_mend() {
    let table = [
        ("[http_service]\nauto_stop_machines = \"true\"", "remove the quotes"),
        ("[http_service]\ninternal_port = \"8080\"", "`internal_port = 8080`"),
        ("[http_service.checks]\ninterval = \"15s\"", "`[[http_service.checks]]`"),
        ("[[http_service.concurrency]]\nsoft_limit = 1", "`[http_service.concurrency]`"),
        ("[http_service.machine_checks]\nimage = \"a\"", "`[[http_service.machine_checks]]`"),
        ("[[services]]\n[services.machine_checks]\nimage = \"a\"", "`[[services.machine_checks]]`"),
        ("[[services]]\nconcurrency = 20", "`concurrency = {"),
        ("[[http_service.checks]]\nheaders = [{name = \"a\"}]", "`[http_service.checks.headers]`"),
        ("[[http_service.checks]]\nheaders = {a = 1}", "`a = \"1\"`"),
        ("[[http_service.checks]]\ninterval = \"soon\"", "`interval = \"15s\"`"),
        ("[vm]\nmemory_mb = \"512\"", "`memory_mb = 512`"),
        ("[vm]\nmemory = \"0\"", "`memory = \"512mb\"`"),
        ("[vm]\nsize = \"big\"", "`size = \"shared-cpu-1x\"`"),
        ("[vm]\nkernel_args = \"a b\"", "`kernel_args = [\"a\", \"b\"]`"),
        ("[deploy]\nmax_unavailable = \"25%\"", "`max_unavailable = 0.25`"),
        ("[deploy]\nstrategy = \"slow\"", "`strategy = \"rolling\"`"),
        (
            "[deploy]\nstrategy = \"canary\"\n[mounts]\ndestination = \"/d\"",
            "`strategy = \"rolling\"`",
        ),
        ("[restart]\npolicy = \"always\"", "`[[restart]]`"),
        ("[files]\nguest_path = \"/a\"", "`[[files]]`"),
        ("[statics]\nguest_path = \"/a\"", "`[[statics]]`"),
        ("[checks]\ninterval = \"15s\"", "`[checks.NAME]`"),
        ("[checks.a]\nport = 1", "`type = \"http\"`"),
        ("[checks.a]\ntype = \"tcp\"", "`port = 8080`"),
        ("[checks.a]\ntype = \"tcp\"\nport = 1\ninterval = \"1s\"", "`interval = \"15s\"`"),
        ("[checks.a]\ntype = \"tcp\"\nport = 1\ntimeout = \"2m\"", "`timeout = \"10s\"`"),
        ("[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 80", "write all of"),
        ("[processes]\nweb = \"/app\"\n[http_service]\ninternal_port = 1", "`processes = [\"…\"]`"),
        ("[http_service]\nprocesses = [\"web\"]", "name one of `app`"),
        ("[processes]\napp = \"sh -c 'a\"", "close the quote"),
        ("kill_timeout = \"10m\"", "`kill_timeout = \"300s\"`"),
        ("app = 1", "`app = \"1\"`"),
        ("app = ", "mend the syntax"),
        ("[[checks]]\ntype = \"tcp\"\nport = 1", "`[checks.NAME]`"),
        ("[vm]\nkernel_args = [1]", "`kernel_args = [\"…\"]`"),
        ("[Services]\ninternal_port = 1", "`[[services]]`"),
        ("[[services]]\n[[services.ports]]\nstart_port = \"1\"", "`start_port = 1`"),
        ("[checks.a]\ntype = \"tcp\"\nport = \"1\"", "`port = 1`"),
        ("[deploy]\nrelease_command = \"sh 'a\"", "close the quote"),
        ("[[mounts]]\ndestination = \"/d\"\nsnapshot_retention = 61", "`snapshot_retention = 1`"),
        ("[[files]]\nguest_path = \"/a\"", "write one of"),
        ("[[restart]]\nretries = 1", "`policy = \"on-failure\"`"),
    ];
    for (text, mend) in table {
        let told = refused(text);
        assert!(told.contains(mend), "{text}\n\n{told}\n\nlacks: {mend}");
    }
}

#[test]
fn what_fly_takes_but_not_as_it_seems_is_told_as_a_warning() {
    for (text, told) in [
        ("[http_service]\nintrenal_port = 1", "did you mean `internal_port`?"),
        ("[htp_service]\ninternal_port = 1", "did you mean `http_service`?"),
        ("release_command = \"a\"", "`release_command` belongs to `[deploy]`"),
        ("[[http_service.checks]]\ninterval = 15000", "reads it as nanoseconds"),
        ("[deploy]\nwait_timeout = 300", "reads it as nanoseconds"),
        ("[http_service]\n[[services.http_checks]]\npath = \"/\"", "`[[http_service.checks]]`"),
        ("[http_service]\n[[services.tcp_checks]]\ninterval = 15000", "`[checks.tcp]`"),
        ("[[services]]\ninternal_port = 8080", "add `[[services.ports]]`"),
        (
            "[[services]]\n[[services.ports]]\nport = 1\n[[services.tcp_checks]]\ninterval = \"2m\"",
            "`interval = \"1m0s\"`",
        ),
        ("[build]\nimage = \"a\"\ndockerfile = \"b\"", "leave only one of them"),
        ("[Mounts]\ndestination = \"/d\"", "`mounts` in lower case"),
        ("[env]\nA = [1]", "makes `[1]` of it"),
        ("[[files]]\nguest_path = \"/a\"\nlocal_path = \"a\"", "`local_path` is not sent"),
    ] {
        let checked = check(text, Severity::Warning);
        assert!(checked.config.is_some(), "{text} is accepted");
        let lines: Vec<String> = checked.diagnostics.iter().map(Diagnostic::to_string).collect();
        assert!(lines.join("\n").contains(told), "{text}\n\n{lines:?}\n\nlacks: {told}");
    }
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

#[test]
fn numbers_without_a_unit_mean_what_fly_reads() {
    let config = accepted(
        "[[services]]\nconcurrency = \"20,25\"\n[[services.tcp_checks]]\ninterval = 15000\n\
         [[http_service.checks]]\ninterval = 15000\n[vm]\nmemory = 768",
    );
    let [http_service, service] = config.services.as_slice() else { panic!("{config:?}") };
    let tcp = &service.checks[0];
    assert_eq!(tcp.check_type, Some(CheckType::Tcp));
    assert_eq!(tcp.interval, Some(WireDuration::from_secs(15)), "milliseconds");
    // Nanoseconds, raised to the shortest time there is.
    assert_eq!(http_service.checks[0].interval, Some(WireDuration::from_secs(1)));
    let concurrency = service.concurrency.clone().unwrap();
    assert_eq!(concurrency.concurrency_type, Some(ConcurrencyType::Requests));
    assert_eq!((concurrency.soft_limit, concurrency.hard_limit), (Some(20), Some(25)));
    assert_eq!(config.guest.unwrap().memory_mb, 768);
}

#[test]
fn only_what_is_for_the_process_group_goes_to_its_machines() {
    let config = accepted(
        "[processes]\napp = \"/app 'a b'\"\nworker = \"/work\"\n\
         [http_service]\nprocesses = [\"app\"]\n\
         [[services]]\nprocesses = [\"worker\"]\n\
         [[vm]]\nmemory = 512\n[[vm]]\nmemory = 1024\nprocesses = [\"app\"]",
    );
    assert_eq!(config.services.len(), 1);
    assert_eq!(config.guest.unwrap().memory_mb, 1024);
    assert_eq!(config.init.unwrap().cmd, ["/app", "a b"]);
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
