//! What a client of the image registry gets.

mod support;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use support::{TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_as_it_was_pushed() {
    let world = World::new().await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = format!("http://{}/v2", world.api.api);
    let get = |path: String| http.get(format!("{base}/{path}")).send();
    let answer = get(format!("echo/manifests/{}", world.image)).await.expect("an answer");
    assert_eq!(answer.headers()["docker-content-digest"], world.image.to_string());
    let bytes = answer.bytes().await.expect("a manifest");
    assert_eq!(oci_image::ImageDigest::of(&bytes), world.image);
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer").to_owned();
    let blob = get(format!("some/deep/name/blobs/{layer}")).await.expect("an answer");
    let blob = blob.bytes().await.expect("a blob");
    assert_eq!(oci_image::ImageDigest::of(&blob).to_string(), layer);

    // The same manifest under a tag can be run by its tag.
    let request = http.put(format!("{base}/echo/manifests/v1")).body(bytes);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::CREATED);
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    config.image = "registry.fly.io/echo:v1".to_owned();
    let made = world.api.create("shop", config).await;
    assert_eq!(made.image_ref.digest, world.image.to_string());
    let gone = get("echo/manifests/v2".to_owned()).await.expect("an answer");
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_another_digest_is_refused_and_not_kept() {
    let world = World::new().await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = format!("http://{}", world.api.api);
    let begun = http.post(format!("{base}/v2/echo/blobs/uploads/")).bearer_auth(TOKEN);
    let begun = begun.send().await.expect("an answer");
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let place = begun.headers()[header::LOCATION].to_str().expect("a path").to_owned();
    let digest = oci_image::ImageDigest::of(b"promised");
    let part = http.patch(format!("{base}{place}")).body("something ").send().await;
    assert_eq!(part.expect("an answer").status(), StatusCode::ACCEPTED);
    let request = http.put(format!("{base}{place}?digest={digest}")).body("else");
    let refused = request.send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let body: Value = serde_json::from_slice(&refused.bytes().await.expect("a body")).expect("ok");
    assert_eq!(body["errors"][0]["code"], "DIGEST_INVALID");
    let looked = http.head(format!("{base}/v2/echo/blobs/{digest}")).send().await;
    assert_eq!(looked.expect("an answer").status(), StatusCode::NOT_FOUND);

    let manifest = json!({"schemaVersion": 2, "layers": [],
        "config": {"mediaType": "x", "digest": digest.to_string(), "size": 1}});
    let path = format!("{base}/v2/echo/manifests/latest");
    let refused = http.request(Method::PUT, path).json(&manifest).send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "its parts are missing");
    world.end().await;
}
