//! Cases about volumes.

use super::{Suite, expect, refusal, told};
use crate::types::CreateVolume;

pub(super) async fn kept(suite: &Suite) -> Result<(), String> {
    let (client, app) = (&suite.client, &suite.app);
    let create = CreateVolume {
        name: "conformance".to_owned(),
        size_gb: Some(1),
        ..CreateVolume::default()
    };
    let volume = told(client.create_volume(app, &create).await)?;
    expect(volume.name == "conformance" && volume.size_gb == 1, "it is as ordered", &volume)?;
    let listed = told(client.list_volumes(app).await)?;
    expect(listed.iter().any(|it| it.id == volume.id), "the list holds it", &listed)?;
    let extended = told(client.extend_volume(app, &volume.id, 2).await)?;
    expect(extended.volume.size_gb == 2, "it is larger", &extended)?;
    let read = told(client.get_volume(app, &volume.id).await)?;
    expect(read.size_gb == 2, "it stays larger", &read)?;
    told(client.delete_volume(app, &volume.id).await)?;
    let left = told(client.list_volumes(app).await)?;
    let gone = left.iter().all(|it| it.id != volume.id || !it.is_there());
    expect(gone, "the list holds it no more", &left)?;
    let name = "vol_00000000000000000";
    refusal(client.get_volume(app, name).await, 404, "a volume that is not there").map(|_| ())
}
