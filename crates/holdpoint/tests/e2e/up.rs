//! What `holdpoint up` tells whoever starts it.

use crate::world::World;

#[tokio::test]
async fn a_platform_with_tls_says_which_file_its_clients_must_trust() {
    let world = World::without_platform();
    let any = "127.0.0.1:0";
    // Attached to an input that has ended, it leaves at once.
    let arguments = ["--listen", any, "--proxy-listen", any, "--tls-listen", any, "--attached"];
    let told = world.run(&[&["up"], &arguments[..]].concat()).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let line = told.stdout.lines().find(|line| line.starts_with("tls ")).expect("a line");
    assert!(line.contains("https://<app>.localhost:"), "{line}");
    let ca_file = line.rsplit(' ').next().expect("a path");
    let ca = std::fs::read_to_string(ca_file).expect("readable");
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
}
