//! Whether the platform takes our token, has the apps, and finds the images (the runbook's
//! "Environment Verification").

use std::time::Duration;

use holdpoint_core::id::AppName;
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode};

use super::finding::{Finding, Lack};
use crate::adapter::http_client;
use crate::adapter::platform::Platform;

/// A registry that takes longer to say whether it has an image counts as not having it.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The kinds of manifest that we push.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json";

/// Whether the token is accepted, by asking for any app.
pub(super) async fn token(platform: &Platform, app: AppName) -> Finding {
    let base = &platform.address().api_base_url;
    match platform.client().get_app(app.as_str()).await {
        Ok(_) => Ok(format!("`{base}` accepts it")),
        Err(error) if error.is_not_found() => Ok(format!("`{base}` accepts it")),
        Err(error) => Err(Lack::told(&error, "repeat it")),
    }
}

/// Whether an app exists.
pub(super) async fn app(platform: &Platform, app: AppName) -> Finding {
    match platform.client().get_app(app.as_str()).await {
        Ok(_) => Ok("it exists".to_owned()),
        Err(error) if error.is_not_found() => Err(Lack::new(
            format!("the platform has no app `{app}`"),
            format!("create it: `fly apps create {app}`"),
        )),
        Err(error) => Err(Lack::told(&error, "repeat it")),
    }
}

/// Whether the registry has the image that the app will run.
pub(super) async fn image(platform: &Platform, app: &AppName, digest: &str) -> Finding {
    let base = platform.address().registry_base_url.trim_end_matches('/');
    let hint = "build and push it again: start the release anew";
    let client: Client = http_client::for_address(base, REGISTRY_TIMEOUT)
        .map_err(|error| Lack::new(http_client::described(error), hint))?;
    let request = client
        .head(format!("{base}/v2/{app}/manifests/{digest}"))
        .bearer_auth(platform.address().token())
        .header(ACCEPT, MANIFEST_TYPES);
    match request.send().await.map(|response| response.status()) {
        Ok(status) if status.is_success() => Ok(format!("the registry has {digest}")),
        Ok(StatusCode::NOT_FOUND) => Err(Lack::new(format!("the registry has no {digest}"), hint)),
        Ok(status) => {
            let detail = format!("the registry answered {} for {digest}", status.as_u16());
            Err(Lack::new(detail, hint))
        }
        Err(error) => {
            Err(Lack::new(http_client::described(error), "check that the registry answers"))
        }
    }
}
