//! The objects of GraphQL answers, as JSON with their type's name.

use jiff::Timestamp;
use machines_api::types::{IpAssignment, Machine, Secret};
use serde_json::{Value, json};

use super::super::account;
use crate::fleet::{PRIVATE_PREFIX, ReleaseRecord};

/// A list in the form that GraphQL clients page through; here it has one page.
pub(super) fn connection(type_name: &str, nodes: &[Value]) -> Value {
    let edges: Vec<_> = nodes
        .iter()
        .map(|node| json!({"__typename": "Edge", "cursor": "", "node": node}))
        .collect();
    json!({
        "__typename": type_name,
        "nodes": nodes,
        "edges": edges,
        "totalCount": nodes.len(),
        "pageInfo": page_info(),
    })
}

pub(super) fn page_info() -> Value {
    json!({
        "__typename": "PageInfo",
        "hasNextPage": false,
        "hasPreviousPage": false,
        "startCursor": "",
        "endCursor": "",
    })
}

pub(super) fn user() -> Value {
    json!({
        "__typename": "User",
        "id": account::USER_ID,
        "email": account::USER_EMAIL,
        "name": account::USER_NAME,
        "username": account::USER_ID,
        "enablePaidHobby": false,
        "trial": false,
    })
}

pub(super) fn organization(slug: &str) -> Value {
    let is_personal = slug == "personal";
    json!({
        "__typename": "Organization",
        "id": slug,
        "internalNumericId": account::numeric_id(slug).to_string(),
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": if is_personal { "PERSONAL" } else { "SHARED" },
        "paidPlan": true,
        "billable": true,
        "billingStatus": "CURRENT",
        "viewerRole": "admin",
        "addOnSsoLink": null,
        "provisionsBetaExtensions": false,
        "remoteBuilderImage": "",
        "remoteBuilderApp": null,
        "settings": null,
        "members": {
            "__typename": "OrganizationMembershipsConnection",
            "edges": [{
                "__typename": "OrganizationMembershipsEdge",
                "cursor": "",
                "node": user(),
                "joinedAt": Timestamp::UNIX_EPOCH.to_string(),
                "role": "ADMIN",
            }],
        },
        "wireGuardPeers": connection("WireGuardPeerConnection", &[]),
        "limitedAccessTokens": connection("LimitedAccessTokenConnection", &[]),
    })
}

/// A release in either of its GraphQL types.
pub(super) fn release(release: &ReleaseRecord) -> Value {
    json!({
        "__typename": "ReleaseUnprocessed",
        "id": release.id,
        "version": release.version,
        "stable": release.is_stable(),
        "inProgress": release.is_in_progress(),
        "reason": "change_image",
        "description": "Release",
        "status": release.status.as_str(),
        "deploymentStrategy": release.strategy,
        "imageRef": release.image_ref,
        "configDefinition": release.definition,
        "metadata": release.metadata,
        "evaluationId": "",
        "createdAt": release.created_at.to_string(),
        "user": user(),
    })
}

/// An address of an app. Its id is the address itself.
pub(super) fn address(address: &IpAssignment) -> Value {
    let ip_type = match address.ip.as_str() {
        _ if address.shared => "shared_v4",
        ip if ip.starts_with(PRIVATE_PREFIX) => "private_v6",
        ip if ip.contains(':') => "v6",
        _ => "v4",
    };
    json!({
        "__typename": "IPAddress",
        "id": address.ip,
        "address": address.ip,
        "type": ip_type,
        "region": address.region,
        "serviceName": address.service_name,
        "createdAt": address.created_at.map(|at| at.to_string()),
    })
}

pub(super) fn secret(secret: &Secret) -> Value {
    json!({
        "__typename": "Secret",
        "id": secret.name,
        "name": secret.name,
        "digest": secret.digest,
        "createdAt": secret.created_at.map(|at| at.to_string()),
        "user": user(),
    })
}

/// A machine; the app that it belongs to is named, as Fly's client looks it up that way.
pub(super) fn machine(machine: &Machine, app: &str, organization_slug: &str) -> Value {
    let events: Vec<_> = machine
        .events
        .iter()
        .map(|event| {
            json!({
                "__typename": "MachineEvent",
                "id": event.id,
                "kind": event.event_type,
                "status": event.status,
                "source": event.source,
                "body": event.request,
                "timestamp": Timestamp::from_millisecond(event.timestamp_ms)
                    .unwrap_or_default()
                    .to_string(),
                "machineVersion": {"__typename": "MachineVersion", "id": machine.instance_id},
            })
        })
        .collect();
    let ip = json!({
        "__typename": "MachineIP",
        "family": "v6",
        "kind": "privatenet",
        "ip": machine.private_ip,
        "maskSize": 112,
    });
    json!({
        "__typename": "Machine",
        "id": machine.id,
        "name": machine.name,
        "state": machine.state.as_str(),
        "region": machine.region,
        "instanceId": machine.instance_id,
        "config": machine.config,
        "createdAt": machine.created_at.map(|at| at.to_string()),
        "updatedAt": machine.updated_at.map(|at| at.to_string()),
        "app": {
            "__typename": "AppCompact",
            "id": app,
            "name": app,
            "organization": organization(organization_slug),
        },
        "host": {"__typename": "Host", "id": "local"},
        "ips": connection("MachineIPConnection", &[ip]),
        "events": connection("MachineEventConnection", &events),
    })
}

pub(super) fn region(code: &str) -> Value {
    json!({
        "__typename": "Region",
        "code": code,
        "name": "This computer",
        "latitude": 0.0,
        "longitude": 0.0,
        "gatewayAvailable": false,
        "requiresPaidPlan": false,
        "processGroups": [],
    })
}

/// The sizes that a machine can be asked for by name (Fly's, without prices).
pub(super) fn vm_sizes() -> Value {
    let shared = [1_u32, 2, 4, 8].map(|cpus| size("shared", "shared-cpu", cpus, cpus * 256));
    let performance =
        [1_u32, 2, 4, 8, 16].map(|cpus| size("performance", "performance", cpus, cpus * 2048));
    shared.into_iter().chain(performance).collect()
}

fn size(class: &str, name: &str, cpus: u32, memory_mb: u32) -> Value {
    json!({
        "__typename": "VMSize",
        "name": format!("{name}-{cpus}x"),
        "cpuClass": class,
        "cpuCores": cpus,
        "memoryMb": memory_mb,
        "memoryGb": f64::from(memory_mb) / 1024.0,
        "priceMonth": 0.0,
        "priceSecond": 0.0,
    })
}
