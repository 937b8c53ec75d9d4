//! Every odd form and every rule of Fly's client, one line each, with what comes of it.

use machines_api::fly_toml::{Checked, Diagnostic, Severity, check};
use serde_json::Value;

/// What comes of a file.
enum Then {
    /// It is accepted, and the machine's config has this JSON at this place.
    Has(&'static str, &'static str),
    /// It is accepted, and the machine's config has nothing at this place.
    Lacks(&'static str),
    /// It is accepted with this warning, among others.
    Warns(&'static str),
    /// It is refused with this message or mend.
    Refused(&'static str),
}

use Then::{Has, Lacks, Refused, Warns};

/// The name of a form, a file with it, and what comes of that.
type Row = (&'static str, &'static str, Then);

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

fn assert_rows(rows: &[Row]) {
    let mut wrong = Vec::new();
    for (name, text, then) in rows {
        let Checked { config, diagnostics } = check(text, Severity::Warning);
        let told: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
        let told = told.join("\n");
        let config = config.map(|config| config.machine_config("image"));
        let config = config.map(|config| serde_json::to_value(config).expect("JSON"));
        let holds = match (&config, &then) {
            (Some(config), Has(place, value)) => config.pointer(place) == Some(&json(value)),
            (Some(config), Lacks(place)) => config.pointer(place).is_none(),
            (Some(_), Warns(warning)) => told.contains("warning: ") && told.contains(warning),
            (None, Refused(mend)) => told.contains(mend),
            (Some(_), Refused(_)) | (None, Has(..) | Lacks(_) | Warns(_)) => false,
        };
        if !holds {
            let config = config.unwrap_or_default();
            wrong.push(format!("== {name}\n{text}\n-- told\n{told}\n-- config\n{config}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const FORMS_OF_SERVICES: &[Row] = &[
    (
        "auto stop as true",
        "[http_service]\nauto_stop_machines = true",
        Has("/services/0/autostop", "true"),
    ),
    (
        "auto stop as false",
        "[http_service]\nauto_stop_machines = false",
        Has("/services/0/autostop", "false"),
    ),
    (
        "auto stop as `off`",
        "[http_service]\nauto_stop_machines = \"off\"",
        Has("/services/0/autostop", "false"),
    ),
    (
        "auto stop as `stop`",
        "[http_service]\nauto_stop_machines = \"stop\"",
        Has("/services/0/autostop", "true"),
    ),
    (
        "auto stop as `suspend`",
        "[http_service]\nauto_stop_machines = \"suspend\"",
        Has("/services/0/autostop", r#""suspend""#),
    ),
    (
        "auto stop as true in quotes",
        "[http_service]\nauto_stop_machines = \"true\"",
        Refused("remove the quotes"),
    ),
    (
        "one table of services",
        "[services]\ninternal_port = 9000",
        Has("/services/0/internal_port", "9000"),
    ),
    (
        "one table of ports",
        "[services]\n[services.ports]\nport = 80",
        Has("/services/0/ports/0/port", "80"),
    ),
    (
        "one table of TCP checks",
        "[services]\n[services.tcp_checks]\ninterval = \"15s\"",
        Has("/services/0/checks/0/type", r#""tcp""#),
    ),
    (
        "one table of HTTP checks",
        "[services]\n[services.http_checks]\npath = \"/\"",
        Has("/services/0/checks/0/path", r#""/""#),
    ),
    (
        "lists of TCP and HTTP checks",
        "[[services]]\n[[services.tcp_checks]]\ninterval = \"15s\"\n[[services.http_checks]]\npath = \"/\"",
        Has("/services/0/checks/1/path", r#""/""#),
    ),
    (
        "internal port of services as text",
        "[[services]]\ninternal_port = \"9000\"",
        Has("/services/0/internal_port", "9000"),
    ),
    (
        "port of services as text",
        "[[services]]\n[[services.ports]]\nport = \"80\"",
        Has("/services/0/ports/0/port", "80"),
    ),
    (
        "a range of ports as text",
        "[[services]]\n[[services.ports]]\nstart_port = \"1\"",
        Refused("`start_port = 1`"),
    ),
    (
        "internal port of http_service as text",
        "[http_service]\ninternal_port = \"8080\"",
        Refused("`internal_port = 8080`"),
    ),
    (
        "concurrency as two numbers",
        "[[services]]\nconcurrency = \"20,25\"",
        Has(
            "/services/0/concurrency",
            r#"{"type": "requests", "soft_limit": 20, "hard_limit": 25}"#,
        ),
    ),
    ("concurrency as one number", "[[services]]\nconcurrency = 20", Refused("`concurrency = {")),
    (
        "concurrency as a list",
        "[[http_service.concurrency]]\nsoft_limit = 1",
        Refused("`[http_service.concurrency]`"),
    ),
    (
        "one table of checks",
        "[http_service.checks]\ninterval = \"15s\"",
        Refused("1:1: `http_service.checks` is a table, but must be a list of tables"),
    ),
    (
        "a list of checks",
        "[[http_service.checks]]\npath = \"/\"",
        Has("/services/0/checks/0/path", r#""/""#),
    ),
    (
        "a duration of services without a unit",
        "[[services]]\n[services.tcp_checks]\ninterval = 15000",
        Has("/services/0/checks/0/interval", r#""15s""#),
    ),
    (
        "a duration of http_service without a unit",
        "[[http_service.checks]]\ninterval = 15000",
        Has("/services/0/checks/0/interval", r#""1s""#),
    ),
    (
        "the same is told",
        "[[http_service.checks]]\ninterval = 15000",
        Warns("reads it as nanoseconds"),
    ),
    (
        "a duration that is none",
        "[[http_service.checks]]\ninterval = \"soon\"",
        Refused("`interval = \"15s\"`"),
    ),
    (
        "headers of services as a list",
        "[[services]]\n[[services.http_checks]]\nheaders = [{name = \"a\", value = 1}]",
        Has("/services/0/checks/0/headers/0/values", r#"["1"]"#),
    ),
    (
        "headers of services as a table",
        "[[services]]\n[[services.http_checks]]\nheaders = {a = \"b\"}",
        Has("/services/0/checks/0/headers/0/values", r#"["b"]"#),
    ),
    (
        "headers of http_service as a table",
        "[[http_service.checks]]\n[http_service.checks.headers]\nA = \"b\"",
        Has("/services/0/checks/0/headers/0/name", r#""A""#),
    ),
    (
        "headers of http_service as a list",
        "[[http_service.checks]]\nheaders = [{name = \"a\"}]",
        Refused("`[http_service.checks.headers]`"),
    ),
    (
        "headers of http_service that are no texts",
        "[[http_service.checks]]\nheaders = {a = 1}",
        Refused("`a = \"1\"`"),
    ),
    (
        "one table of test machines in http_service",
        "[http_service.machine_checks]\nimage = \"a\"",
        Refused("`[[http_service.machine_checks]]`"),
    ),
    (
        "one table of test machines in services",
        "[[services]]\n[services.machine_checks]\nimage = \"a\"",
        Refused("`[[services.machine_checks]]`"),
    ),
    (
        "HTTP checks of services under http_service",
        "[http_service]\n[[services.http_checks]]\npath = \"/\"",
        Has("/services/1/checks/0/path", r#""/""#),
    ),
    (
        "the same is told",
        "[http_service]\n[[services.http_checks]]\npath = \"/\"",
        Warns("`[[http_service.checks]]`"),
    ),
    (
        "TCP checks of services under http_service",
        "[http_service]\n[[services.tcp_checks]]\ninterval = 15000",
        Warns("`[checks.tcp]`"),
    ),
    (
        "a section with capitals",
        "[HTTP_Service]\nInternal_Port = 9000",
        Has("/services/0/internal_port", "9000"),
    ),
    (
        "a single table with capitals, which is not mended",
        "[Services]\ninternal_port = 1",
        Refused("`[[services]]`"),
    ),
];

#[test]
fn every_odd_form_of_a_service_is_read_as_fly_reads_it() {
    assert_rows(FORMS_OF_SERVICES);
}

const FORMS_OF_MACHINES: &[Row] = &[
    ("[vm]", "[vm]\nmemory = \"1gb\"", Has("/guest/memory_mb", "1024")),
    ("[[vm]]", "[[vm]]\nmemory = \"1gb\"", Has("/guest/memory_mb", "1024")),
    ("[compute]", "[compute]\nmemory = \"1gb\"", Has("/guest/memory_mb", "1024")),
    ("[[computes]]", "[[computes]]\nmemory = \"1gb\"", Has("/guest/memory_mb", "1024")),
    ("memory in MB", "[vm]\nmemory = \"512mb\"", Has("/guest/memory_mb", "512")),
    ("memory as a text", "[vm]\nmemory = \"512\"", Has("/guest/memory_mb", "512")),
    ("memory as a number", "[vm]\nmemory = 512", Has("/guest/memory_mb", "512")),
    ("memory_mb as a number", "[vm]\nmemory_mb = 512", Has("/guest/memory_mb", "512")),
    (
        "size, then memory",
        "[vm]\nsize = \"performance-2x\"\nmemory = \"8gb\"",
        Has("/guest", r#"{"cpu_kind": "performance", "cpus": 2, "memory_mb": 8192}"#),
    ),
    (
        "memory, then memory_mb and cpus",
        "[vm]\nmemory = \"8gb\"\nmemory_mb = 512\ncpus = 2",
        Has("/guest", r#"{"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}"#),
    ),
    (
        "memory_mb of zero counts as absent",
        "[vm]\nmemory = \"1gb\"\nmemory_mb = 0",
        Has("/guest/memory_mb", "1024"),
    ),
    ("memory_mb as a text", "[vm]\nmemory_mb = \"512\"", Refused("`memory_mb = 512`")),
    ("memory of zero", "[vm]\nmemory = \"0\"", Refused("above zero")),
    ("memory that comes to zero", "[vm]\nmemory = \"1kb\"", Refused("above zero")),
    ("an unknown size", "[vm]\nsize = \"big\"", Refused("`size = \"shared-cpu-1x\"`")),
    (
        "kernel arguments as a text",
        "[vm]\nkernel_args = \"a b\"",
        Refused("`kernel_args = [\"a\", \"b\"]`"),
    ),
    ("kernel arguments as numbers", "[vm]\nkernel_args = [1]", Refused("`kernel_args = [\"…\"]`")),
    ("[mount]", "[mount]\nsource = \"d\"\ndestination = \"/d\"", Has("/mounts/0/path", r#""/d""#)),
    ("[mounts]", "[mounts]\ndestination = \"/d\"", Has("/mounts/0/path", r#""/d""#)),
    ("[[mounts]]", "[[mounts]]\ndestination = \"/d\"", Has("/mounts/0/path", r#""/d""#)),
    (
        "initial size as a number",
        "[mounts]\ndestination = \"/d\"\ninitial_size = 3",
        Has("/mounts/0/size_gb", "3"),
    ),
    ("[Mounts]", "[Mounts]\ndestination = \"/d\"", Warns("`mounts` in lower case")),
    ("[metrics]", "[metrics]\nport = 9091", Has("/metrics/port", "9091")),
    ("[[metrics]]", "[[metrics]]\nport = 9091", Has("/metrics/port", "9091")),
    ("[metric]", "[metric]\nport = 9091", Has("/metrics/port", "9091")),
    (
        "metrics under experimental",
        "[experimental]\nmetrics_port = 9091\nmetrics_path = \"/m\"",
        Has("/metrics", r#"{"port": 9091, "path": "/m"}"#),
    ),
    (
        "cmd under experimental as a text",
        "[experimental]\ncmd = \"a\"",
        Has("/init/cmd", r#"["a"]"#),
    ),
    (
        "kill_timeout under experimental",
        "[experimental]\nkill_timeout = \"10s\"",
        Has("/stop_config/timeout", r#""10s""#),
    ),
    ("kill_timeout without a unit", "kill_timeout = 30", Has("/stop_config/timeout", r#""30s""#)),
    ("env that is no text", "[env]\nA = true\nB = 1.5\nC = 4", Has("/env/B", r#""1.5""#)),
    ("[[env]]", "[[env]]\nA = true\n[[env]]\nB = 1.5", Has("/env/A", r#""true""#)),
    ("env that is a list", "[env]\nA = [1]", Warns("makes `[1]` of it")),
    (
        "[[processes]]",
        "[[processes]]\nname = \"app\"\ncommand = \"/app\"",
        Has("/init/cmd", r#"["/app"]"#),
    ),
    (
        "[[checks]] with a name",
        "[[checks]]\nname = \"alive\"\ntype = \"tcp\"\nport = 8080",
        Has("/checks/alive/port", "8080"),
    ),
    (
        "a duration of checks without a unit",
        "[checks.alive]\ntype = \"tcp\"\nport = 8080\ninterval = 15000",
        Has("/checks/alive/interval", r#""15s""#),
    ),
    (
        "headers of checks as a table",
        "[checks.alive]\ntype = \"http\"\nport = 1\nheaders = {A = \"b\"}",
        Has("/checks/alive/headers/0/values", r#"["b"]"#),
    ),
    (
        "headers of checks as a list",
        "[checks.alive]\ntype = \"http\"\nport = 1\nheaders = [{name = \"A\", value = \"b\"}]",
        Has("/checks/alive/headers/0/name", r#""A""#),
    ),
    ("port of checks as a text", "[checks.a]\ntype = \"tcp\"\nport = \"1\"", Refused("`port = 1`")),
    ("[restart]", "[restart]\npolicy = \"always\"", Refused("`[[restart]]`")),
    ("[[restart]]", "[[restart]]\npolicy = \"never\"", Has("/restart/policy", r#""no""#)),
    ("[files]", "[files]\nguest_path = \"/a\"", Refused("`[[files]]`")),
    ("[statics]", "[statics]\nguest_path = \"/a\"", Refused("`[[statics]]`")),
    ("build_target", "[build]\nbuild_target = \"a\"", Lacks("/build")),
    (
        "max_unavailable with a percent sign",
        "[deploy]\nmax_unavailable = \"25%\"",
        Refused("`max_unavailable = 0.25`"),
    ),
    (
        "a duration of deploy without a unit",
        "[deploy]\nwait_timeout = 300",
        Warns("reads it as nanoseconds"),
    ),
    (
        "an unknown key",
        "unknown_key = 1\n[unknown_section]\na = 1",
        Warns("no setting that Fly knows"),
    ),
    ("a misspelt key", "[http_service]\nintrenal_port = 1", Warns("did you mean `internal_port`?")),
    ("a misspelt section", "[htp_service]\na = 1", Warns("did you mean `http_service`?")),
    (
        "a key of another section",
        "release_command = \"a\"",
        Warns("`release_command` belongs to `[deploy]`"),
    ),
    ("a text without quotes", "app = 1", Refused("`app = \"1\"`")),
    ("a syntax error", "app = ", Refused("mend the syntax")),
];

#[test]
fn every_odd_form_of_a_machine_is_read_as_fly_reads_it() {
    assert_rows(FORMS_OF_MACHINES);
}

const RULES: &[Row] = &[
    ("strategy canary", "[deploy]\nstrategy = \"canary\"", Lacks("/deploy")),
    ("strategy rolling", "[deploy]\nstrategy = \"rolling\"", Lacks("/deploy")),
    ("strategy immediate", "[deploy]\nstrategy = \"immediate\"", Lacks("/deploy")),
    (
        "strategy bluegreen",
        "[deploy]\nstrategy = \"bluegreen\"\nmax_unavailable = 0.25\nwait_timeout = \"5m\"",
        Lacks("/deploy"),
    ),
    ("another strategy", "[deploy]\nstrategy = \"slow\"", Refused("`strategy = \"rolling\"`")),
    (
        "canary with mounts",
        "[deploy]\nstrategy = \"canary\"\n[mounts]\ndestination = \"/d\"",
        Refused("a canary has no volume"),
    ),
    ("a check without a type", "[checks.a]\nport = 1", Refused("`type = \"http\"`")),
    (
        "a check of another type",
        "[checks.a]\nport = 1\ntype = \"udp\"",
        Refused("`type = \"http\"`"),
    ),
    (
        "a check with a short interval",
        "[checks.a]\ntype = \"tcp\"\nport = 1\ninterval = \"1s\"",
        Refused("below 2 s"),
    ),
    (
        "a check with a long timeout",
        "[checks.a]\ntype = \"tcp\"\nport = 1\ntimeout = \"2m\"",
        Refused("above 60 s"),
    ),
    (
        "a check without a port takes that of http_service",
        "[http_service]\ninternal_port = 9000\n[checks.a]\ntype = \"tcp\"",
        Has("/checks/a/port", "9000"),
    ),
    (
        "a check without a port and without http_service",
        "[checks.a]\ntype = \"tcp\"",
        Refused("`port = 8080`"),
    ),
    (
        "a check without a port in a group without http_service",
        "[processes]\napp = \"a\"\nwork = \"b\"\n[http_service]\nprocesses = [\"app\"]\n[checks.a]\ntype = \"tcp\"\nprocesses = [\"work\"]",
        Refused("its process group has no `[http_service]`"),
    ),
    ("a check without a name", "[checks]\ninterval = \"15s\"", Refused("`[checks.NAME]`")),
    (
        "an entry of checks without a name",
        "[[checks]]\ntype = \"tcp\"\nport = 1",
        Refused("`[checks.NAME]`"),
    ),
    (
        "a service's check with a short interval",
        "[[services]]\n[[services.ports]]\nport = 1\n[[services.tcp_checks]]\ninterval = \"10ms\"",
        Has("/services/0/checks/0/interval", r#""1s""#),
    ),
    (
        "a service's check with a long interval",
        "[[services]]\n[[services.ports]]\nport = 1\n[[services.tcp_checks]]\ninterval = \"2m\"",
        Warns("`interval = \"1m0s\"`"),
    ),
    (
        "growth with one setting",
        "[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 80",
        Refused("write all of"),
    ),
    (
        "growth from a low threshold",
        "[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 49\nauto_extend_size_increment = \"1gb\"\nauto_extend_size_limit = \"5gb\"",
        Refused("from 50 to 99"),
    ),
    (
        "growth by a large increment",
        "[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 50\nauto_extend_size_increment = \"101gb\"\nauto_extend_size_limit = \"500gb\"",
        Refused("from 1 to 100 GB"),
    ),
    (
        "growth to a large limit",
        "[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 99\nauto_extend_size_increment = \"100gb\"\nauto_extend_size_limit = \"501gb\"",
        Refused("from 1 to 500 GB"),
    ),
    (
        "growth within bounds",
        "[mounts]\ndestination = \"/d\"\nauto_extend_size_threshold = 99\nauto_extend_size_increment = \"100gb\"\nauto_extend_size_limit = \"500gb\"",
        Has("/mounts/0/size_gb_limit", "500"),
    ),
    (
        "snapshots kept too long",
        "[mounts]\ndestination = \"/d\"\nsnapshot_retention = 61",
        Refused("`snapshot_retention = 1`"),
    ),
    (
        "a small volume",
        "[mounts]\ndestination = \"/d\"\ninitial_size = \"15mb\"",
        Refused("at least 1 GB"),
    ),
    (
        "two mounts of one group",
        "[[mounts]]\ndestination = \"/d\"\n[[mounts]]\ndestination = \"/e\"\nprocesses = [\"app\"]",
        Refused("one mount for each group"),
    ),
    (
        "with processes, a service that names none",
        "[processes]\nweb = \"/app\"\n[http_service]\ninternal_port = 1",
        Refused("`processes = [\"…\"]`"),
    ),
    (
        "an unknown group of a service",
        "[http_service]\nprocesses = [\"web\"]",
        Refused("name one of `app`"),
    ),
    (
        "an unknown group of a check",
        "[checks.a]\ntype = \"tcp\"\nport = 1\nprocesses = [\"web\"]",
        Refused("name one of `app`"),
    ),
    (
        "an unknown group of a size",
        "[processes]\nweb = \"a\"\nwork = \"b\"\n[[vm]]\nprocesses = [\"app\"]",
        Refused("name one of `web`, `work`"),
    ),
    ("a command with an open quote", "[processes]\napp = \"sh -c 'a\"", Refused("close the quote")),
    (
        "a release command with an open quote",
        "[deploy]\nrelease_command = \"sh 'a\"",
        Refused("close the quote"),
    ),
    (
        "a console command with an open quote",
        "console_command = \"sh 'a\"",
        Refused("close the quote"),
    ),
    (
        "a service without ports",
        "[[services]]\ninternal_port = 8080",
        Warns("add `[[services.ports]]`"),
    ),
    (
        "several sources of the image",
        "[build]\nimage = \"a\"\ndockerfile = \"b\"",
        Warns("leave only one of them"),
    ),
    ("a long kill_timeout", "kill_timeout = \"10m\"", Refused("`kill_timeout = \"300s\"`")),
    ("a file without content", "[[files]]\nguest_path = \"/a\"", Refused("write one of")),
    (
        "a restart without a policy",
        "[[restart]]\nretries = 1",
        Refused("`policy = \"on-failure\"`"),
    ),
];

#[test]
fn every_rule_of_fly_s_validation_is_kept() {
    assert_rows(RULES);
}
