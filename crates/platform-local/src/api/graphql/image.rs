//! Looks an image up in this platform's registry, for a client that wants to deploy it.

use machines_api::types::MachineConfig;
use serde_json::{Value, json};

use super::error::GraphqlError;
use crate::fleet::Fleet;

/// The image of this reference; null, if the registry here has none.
pub(super) async fn resolve(fleet: &Fleet, reference: &str) -> Result<Value, GraphqlError> {
    let config = MachineConfig { image: reference.to_owned(), ..MachineConfig::default() };
    let Ok(image) = fleet.check_config(&config).await else {
        return Ok(Value::Null);
    };
    let Ok(digest) = image.digest.parse() else {
        return Ok(Value::Null);
    };
    let images = fleet.context.images.clone();
    let read = tokio::task::spawn_blocking(move || images.read_manifest(&digest)).await;
    let Ok(Ok(manifest)) = read else {
        return Ok(Value::Null);
    };
    let bytes = manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + manifest.config.size;
    // Whoever deploys it names it so; with its digest it stays what was looked up.
    let named = reference.split_once('@').map_or(reference, |(name, _)| name);
    let full = format!("{named}@{}", image.digest);
    Ok(json!({
        "__typename": "Image",
        "id": manifest.config.digest.to_string(),
        "digest": image.digest,
        "ref": full,
        "absoluteRef": full,
        "registry": image.registry,
        "repository": image.repository,
        "tag": image.tag,
        "label": image.tag,
        "configDigest": manifest.config.digest.to_string(),
        "manifest": manifest,
        "compressedSize": i32::try_from(bytes).unwrap_or(i32::MAX),
        // Its type is written as text, since it may be larger than JSON's numbers.
        "compressedSizeFull": bytes.to_string(),
    }))
}
