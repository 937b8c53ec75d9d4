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

#[tokio::test]
async fn faults_are_set_listed_and_removed_by_commands() {
    let mut world = World::without_platform();
    world.start_platform().await;
    let set = world.run(&["fault", "add", "error", "status=503", "share=0.2", "app=shop"]).await;
    assert_eq!(set.code, Some(0), "{}", set.stderr);
    assert!(set.stdout.contains("status=503"), "{}", set.stdout);
    let listed = world.run(&["fault", "list"]).await;
    assert!(listed.stdout.contains("error app=shop"), "{}", listed.stdout);
    let refused = world.run(&["fault", "add", "error", "share=2"]).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot set the fault"), "{}", refused.stderr);
    let gone = world.run(&["fault", "remove", "nothing"]).await;
    assert!(gone.stderr.contains("no fault `nothing`"), "{}", gone.stderr);
    let removed = world.run(&["fault", "remove", "--all"]).await;
    assert_eq!(removed.stdout, "removed 1\n");
    assert_eq!(world.run(&["fault", "list"]).await.stdout, "no fault is set\n");
    world.end().await;
}
