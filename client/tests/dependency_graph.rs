//! The claim that the aggregator cannot decrypt, as a reader can run it: nothing that can open a
//! contribution is in its dependency graph, and no server is in the client's.

// The lint's exception for tests does not reach the helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

fn tree(package: &str, edges: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}"])
        .args(["-p", package, "-e", edges])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn offending(tree: &[String], banned: impl Fn(&str) -> bool) -> Vec<&String> {
    tree.iter().filter(|package| banned(package)).collect()
}

#[test]
fn the_aggregator_has_nothing_that_can_decrypt() {
    let tree = tree("ringfence-aggregator", "normal,build,dev");
    assert!(tree.iter().any(|package| package == "ringfence-crypto"), "{tree:?}");
    let decrypts = |package: &str| {
        matches!(package, "ringfence-keys" | "ringfence" | "concrete-core" | "hpke" | "x-wing")
            || ["tfhe", "candle"].iter().any(|family| package.starts_with(family))
    };
    assert_eq!(offending(&tree, decrypts), Vec::<&String>::new());
}

#[test]
fn the_client_does_not_carry_the_server() {
    let tree = tree("ringfence", "normal,build");
    assert!(tree.iter().any(|package| package == "ringfence-keys"), "{tree:?}");
    let serves = |package: &str| {
        matches!(package, "ringfence-aggregator" | "axum" | "sqlx" | "sqlx-core" | "tfhe")
    };
    assert_eq!(offending(&tree, serves), Vec::<&String>::new());
}
