//! What a platform says that cannot start.

mod support;

use platform_local::{Platform, Settings, StartError};
use support::{TOKEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let state = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new(state.path(), TOKEN);
    settings.proxy_listen = address;
    let error = Platform::start(settings).await.expect_err("refused");
    assert!(matches!(error, StartError::PortTaken { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("cannot listen on {address} for the proxy")), "{text}");
    assert!(text.contains("hint: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_platform_on_the_same_state_is_told_who_holds_it() {
    let world = World::new().await;
    let second = Platform::start(Settings::new(world.state.path(), TOKEN)).await;
    let text = second.expect_err("refused").to_string();
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_is_named_with_a_way_out() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let below = file.path().join("state");
    let text = Platform::start(Settings::new(&below, TOKEN)).await.expect_err("no").to_string();
    assert!(text.contains("cannot create the state directory"), "{text}");
    assert!(text.contains(&below.display().to_string()) && text.contains("hint: "), "{text}");
    let empty = Platform::start(Settings::new(&below, " ")).await;
    assert!(matches!(empty, Err(StartError::EmptyToken)));
}
