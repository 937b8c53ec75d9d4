//! A machine's config that is read and put back is the config that was there.

use machines_api::types::{Machine, MachineConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

fn round_trip(config: &Value) -> Value {
    let read: MachineConfig = serde_json::from_value(config.clone()).expect("the config is read");
    serde_json::to_value(read).expect("the config is written")
}

/// Any JSON but null, which Go leaves out when it writes.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn fields_that_the_crate_does_not_know_survive(
        name in "x_[a-z]{1,8}",
        values in prop::collection::vec(anything(), 7),
        image in ".{0,20}",
        memory in 1_u64..100_000,
        port in 1_u16..,
        seconds in 1_u64..59,
    ) {
        let mut config = json!({
            "image": image,
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": memory},
            "env": {"A": "b"},
            "services": [{
                "protocol": "tcp",
                "internal_port": port,
                "autostop": "suspend",
                "ports": [{"port": port, "handlers": ["http"]}],
                "checks": [{"type": "script", "interval": format!("{seconds}s")}],
                "concurrency": {"type": "odd", "soft_limit": 1},
            }],
            "restart": {"policy": "on-failure", "max_retries": 3},
            "mounts": [{"volume": "vol_1", "path": "/data"}],
        });
        for (place, value) in [
            "", "/guest", "/services/0", "/services/0/ports/0", "/services/0/checks/0", "/restart",
            "/mounts/0",
        ].into_iter().zip(values) {
            config.pointer_mut(place).unwrap().as_object_mut().unwrap().insert(name.clone(), value);
        }
        prop_assert_eq!(round_trip(&config), config);
    }

    #[test]
    fn no_json_breaks_the_reading(config in anything()) {
        if let Ok(read) = serde_json::from_value::<MachineConfig>(config) {
            let written = serde_json::to_value(&read).unwrap();
            prop_assert_eq!(serde_json::from_value::<MachineConfig>(written).unwrap(), read);
        }
    }
}

#[test]
fn odd_forms_are_read_and_written_as_fly_writes_them() {
    let config = json!({
        "image": "a",
        "env": null,
        "services": [{
            "protocol": "tcp",
            "internal_port": 8080,
            "autostop": "stop",
            "checks": [{"type": "http", "interval": 15_000_000_000_u64}],
        }],
    });
    let written = round_trip(&config);
    assert_eq!(written.pointer("/services/0/autostop"), Some(&json!(true)));
    assert_eq!(written.pointer("/services/0/checks/0/interval"), Some(&json!("15s")));
    assert_eq!(written.get("env"), None);
}

#[test]
fn a_machine_is_read_though_much_is_missing_or_new() {
    let machine: Machine = serde_json::from_value(json!({
        "id": "1", "state": "a_new_state", "events": null, "created_at": "not a time",
        "image_ref": {"digest": "sha256:1", "labels": null}, "something_new": [1],
    }))
    .unwrap();
    assert_eq!(machine.id, "1");
    assert!(machine.events.is_empty() && machine.created_at.is_none());
}
