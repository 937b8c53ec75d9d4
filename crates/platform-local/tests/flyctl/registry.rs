//! `FLY_REGISTRY_HOST`: what a container client does when it pushes an image for Fly's.

use std::net::{Ipv4Addr, SocketAddr};

use oci_image::ImageDigest;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::client::{Fly, text};
use crate::support::{Client, TOKEN, state::StateDirectory};

/// A platform that others can reach asks for the token in its registry too.
async fn reachable_platform(state: &StateDirectory) -> (platform_local::Platform, Client) {
    let mut settings = platform_local::Settings::new(state.path(), TOKEN);
    settings.api_listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let platform = platform_local::Platform::start(settings).await.expect("a platform");
    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, platform.api_address().port()));
    let client = Client::new(api, platform.proxy_address());
    (platform, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_begins_with_a_challenge_and_goes_on_with_the_token_as_password() {
    let state = StateDirectory::new();
    let (platform, client) = reachable_platform(&state).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = |path: &str| format!("http://{}{path}", client.api);
    let asked = http.get(url("/v2/")).send().await.expect("a reply");
    assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
    let challenge = asked.headers()[header::WWW_AUTHENTICATE].to_str().expect("a challenge");
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    let body: Value = serde_json::from_slice(&asked.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(text(&body, "/errors/0/code"), "UNAUTHORIZED");
    let wrong = http.get(url("/v2/")).basic_auth("x", Some("wrong")).send().await;
    assert_eq!(wrong.expect("a reply").status(), StatusCode::UNAUTHORIZED);
    let request =
        |method: Method, path: &str| http.request(method, url(path)).basic_auth("x", Some(TOKEN));
    let known = request(Method::GET, "/v2/").send().await.expect("a reply");
    assert_eq!(known.status(), StatusCode::OK);

    // Layers and config as Docker pushes them, then its own kind of manifest under a tag.
    let repository = "/v2/shop";
    let mut digests = Vec::new();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/app"]},
                        "rootfs": {"type": "layers", "diff_ids": []}})
    .to_string()
    .into_bytes();
    for blob in [config, b"not really a layer".to_vec()] {
        let digest = ImageDigest::of(&blob);
        let path = format!("{repository}/blobs/{digest}");
        let looked = request(Method::HEAD, &path).send().await.expect("a reply");
        assert_eq!(looked.status(), StatusCode::NOT_FOUND);
        let mount = format!("{repository}/blobs/uploads/?from=other&mount={digest}");
        let begun = request(Method::POST, &mount).send().await.expect("a reply");
        assert_eq!(begun.status(), StatusCode::ACCEPTED);
        let place = begun.headers()[header::LOCATION].to_str().expect("a place").to_owned();
        let part = request(Method::PATCH, &place).body(blob.clone()).send().await.expect("a reply");
        assert_eq!(part.status(), StatusCode::ACCEPTED);
        let range = part.headers()[header::RANGE].to_str().expect("a range");
        assert_eq!(range, format!("0-{}", blob.len() - 1));
        let place = part.headers()[header::LOCATION].to_str().expect("a place").to_owned();
        let done = request(Method::PUT, &format!("{place}?digest={digest}")).send().await;
        assert_eq!(done.expect("a reply").status(), StatusCode::CREATED);
        let looked = request(Method::HEAD, &path).send().await.expect("a reply");
        assert_eq!(looked.headers()[header::CONTENT_LENGTH], blob.len().to_string().as_str());
        digests.push((digest, blob.len()));
    }
    let part = |index: usize, kind: &str| {
        let (digest, size) = &digests[index];
        json!({"mediaType": format!("application/vnd.docker.{kind}"), "size": size,
               "digest": digest.to_string()})
    };
    let manifest_type = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": part(0, "container.image.v1+json"),
        "layers": [part(1, "image.rootfs.diff.tar.gzip")],
    });
    let tag = format!("{repository}/manifests/deployment-01JAB");
    let put = request(Method::PUT, &tag).header("content-type", manifest_type);
    let put = put.body(manifest.to_string()).send().await.expect("a reply");
    assert_eq!(put.status(), StatusCode::CREATED);
    let got = request(Method::GET, &tag).send().await.expect("a reply");
    assert_eq!(got.headers()[header::CONTENT_TYPE], manifest_type);

    // What was pushed is what `deploy --image` finds, by its tag.
    let fly = Fly::at(&client);
    client.create_app("shop").await;
    let host = client.api;
    let named = fly.find_image("shop", &format!("{host}/shop:deployment-01JAB")).await;
    let digest = ImageDigest::of(manifest.to_string().as_bytes());
    assert_eq!(named, format!("{host}/shop:deployment-01JAB@{digest}"));
    platform.stop(true).await;
}
