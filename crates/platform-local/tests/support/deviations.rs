//! Where the platform answers otherwise than Fly's OpenAPI file says, and why: in each case that
//! file is known to be wrong or silent about what Fly's own client reads. Nothing else may differ.

use serde_json::{Value, json};

/// Properties that objects have besides those of the file, or with another type.
pub fn properties() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        // Fly's client reads the version under this name too.
        ("Machine", "version", json!({"type": "string"})),
        // The file says `off`, `stop` or `suspend`; the live API writes false, true or `suspend`.
        ("fly.MachineService", "autostop", json!({"enum": [false, true, "suspend"]})),
        // Texts, lists of them or `false`, as Fly's documents of `fly.toml` show; the file has `{}`
        // for whatever the server's language calls any value.
        ("fly.HTTPResponseOptions", "headers", json!({"type": "object"})),
        // The version that a list of secrets stands for, as a write tells it.
        ("AppSecrets", "version", json!({"type": "integer"})),
        // Errors of app and address routes come from another service of Fly's, which says
        // `message`; its client prefers that one.
        ("ErrorResponse", "message", json!({"type": "string"})),
        // A volume that nothing mounts: the live API writes null.
        ("Volume", "attached_machine_id", json!({"type": ["string", "null"]})),
        ("OrgVolume", "attached_machine_id", json!({"type": ["string", "null"]})),
    ]
}

/// Answers whose whole schema is another one: method, path, status, schema.
pub fn answers() -> Vec<(&'static str, &'static str, u16, Value)> {
    let lease = "/v1/apps/{app_name}/machines/{machine_id}/lease";
    // The file shows the lease unwrapped; documents and client have it in an envelope.
    let envelope = |data: Value| {
        json!({"type": "object", "required": ["status", "data"], "additionalProperties": false,
               "properties": {"status": {"enum": ["success"]}, "data": data}})
    };
    let leased = envelope(json!({"$ref": "#/schemas/Lease"}));
    let done = json!({"type": "object", "required": ["ok"], "additionalProperties": false,
                      "properties": {"ok": {"enum": [true]}}});
    let machine = |rest: &str| -> &'static str {
        MACHINE_ACTIONS.iter().find(|path| path.ends_with(rest)).expect("a path")
    };
    let mut answers = vec![
        ("get", lease, 200, leased.clone()),
        ("post", lease, 201, leased),
        ("delete", lease, 200, envelope(done.clone())),
        // The file is silent about bodies that the client decodes or that documents show.
        ("post", machine("/start"), 200, started()),
        ("post", "/v1/apps", 201, json!({"$ref": "#/schemas/App"})),
        ("delete", "/v1/apps/{app_name}", 202, done.clone()),
        ("delete", "/v1/apps/{app_name}/machines/{machine_id}", 200, done.clone()),
    ];
    for action in ["/stop", "/restart", "/suspend", "/cordon", "/uncordon", "/signal"] {
        answers.push(("post", machine(action), 200, done.clone()));
    }
    answers
}

const MACHINE_ACTIONS: [&str; 7] = [
    "/v1/apps/{app_name}/machines/{machine_id}/start",
    "/v1/apps/{app_name}/machines/{machine_id}/stop",
    "/v1/apps/{app_name}/machines/{machine_id}/restart",
    "/v1/apps/{app_name}/machines/{machine_id}/suspend",
    "/v1/apps/{app_name}/machines/{machine_id}/cordon",
    "/v1/apps/{app_name}/machines/{machine_id}/uncordon",
    "/v1/apps/{app_name}/machines/{machine_id}/signal",
];

/// Both what Fly's client decodes and what its documents show.
fn started() -> Value {
    json!({"type": "object", "required": ["previous_state"], "additionalProperties": false,
           "properties": {
               "message": {"type": "string"}, "status": {"type": "string"},
               "previous_state": {"type": "string"},
               "migrated": {"type": "boolean"}, "new_host": {"type": "string"}}})
}
