//! The map of the packages, as a reader can check it: what each of them may not reach.
//!
//! The aggregator cannot decrypt, no hospital runs the server or the laboratory's code, a site's
//! part does not need the networks, and training does not see a key: whatever a package does not
//! depend on, it cannot do. The picture with the reasons is in `docs/architecture.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exception for tests does not reach the helper functions"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package, and what it may be built from.
struct Rule {
    package: &'static str,
    /// Packages of this workspace that it may reach, without `ringfence-`.
    ours: &'static [&'static str],
    /// Foreign packages that it must not reach; `*` stands for any end.
    never: &'static [&'static str],
    /// Whether its tests are held to the same.
    with_tests: bool,
}

/// What opens a contribution.
const DECRYPTS: [&str; 5] = ["tfhe*", "concrete-*", "hpke", "x-wing", "candle-*"];

/// What the arguments that both programs take may be built from.
const OPTIONS: [&str; 12] = [
    "crypto",
    "keys",
    "privacy",
    "site",
    "weights",
    "clock",
    "durable",
    "federation",
    "nn",
    "imaging",
    "learning",
    "words",
];

/// What a program may be built from: the same, and the arguments.
const PROGRAM: [&str; 14] = [
    "crypto",
    "keys",
    "privacy",
    "site",
    "weights",
    "clock",
    "durable",
    "federation",
    "nn",
    "imaging",
    "learning",
    "options",
    "exit",
    "words",
];

const RULES: [Rule; 22] = [
    Rule { package: "ringfence-crypto", ours: &[], never: &["tokio"], with_tests: true },
    Rule { package: "ringfence-clock", ours: &["crypto"], never: &DECRYPTS, with_tests: true },
    Rule { package: "ringfence-durable", ours: &[], never: &["tokio"], with_tests: true },
    Rule { package: "ringfence-exit", ours: &[], never: &["*"], with_tests: true },
    Rule { package: "ringfence-words", ours: &[], never: &["*"], with_tests: true },
    Rule {
        package: "ringfence-privacy",
        ours: &[],
        never: &["tokio", "rand*", "getrandom", "candle-*"],
        with_tests: true,
    },
    // What the officer builds alone: no key, no network, no code of the programs that he audits.
    Rule {
        package: "ringfence-audit",
        ours: &["crypto", "exit", "privacy"],
        never: &[
            "tfhe*",
            "concrete-*",
            "hpke",
            "x-wing",
            "candle-*",
            "tokio*",
            "reqwest",
            "hyper*",
            "rustls*",
        ],
        with_tests: false,
    },
    // The same in a page: nothing may come to it that talks to anybody.
    Rule {
        package: "ringfence-audit-page",
        ours: &["audit", "crypto", "exit", "privacy"],
        never: &["tfhe*", "hpke", "x-wing", "candle-*", "tokio*", "reqwest", "hyper*", "rustls*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-keys",
        ours: &["crypto", "privacy"],
        never: &["tfhe*", "tokio", "reqwest", "candle-*"],
        with_tests: false,
    },
    Rule {
        package: "ringfence-tfhe",
        ours: &["crypto", "keys", "privacy"],
        never: &["tokio", "candle-*"],
        with_tests: false,
    },
    Rule {
        package: "ringfence-testkit",
        ours: &["crypto", "keys", "privacy"],
        never: &["tfhe*", "tokio", "candle-*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-aggregator",
        ours: &["crypto", "clock", "durable", "exit"],
        never: &DECRYPTS,
        with_tests: false,
    },
    // Its tests check what it hands out as an auditor does.
    Rule {
        package: "ringfence-aggregator",
        ours: &["audit", "crypto", "clock", "durable", "exit", "privacy"],
        never: &DECRYPTS,
        with_tests: true,
    },
    Rule {
        package: "ringfence-weights",
        ours: &["durable"],
        never: &["tokio", "candle-*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-site",
        ours: &["crypto", "keys", "privacy", "weights", "clock", "durable", "words"],
        never: &["candle-*", "clap", "axum", "sqlx*", "tfhe*"],
        with_tests: false,
    },
    Rule {
        package: "ringfence-federation",
        ours: &["crypto", "keys", "privacy", "site", "weights", "clock", "durable", "words"],
        never: &["candle-*", "clap", "axum", "sqlx*", "tfhe*"],
        with_tests: false,
    },
    Rule { package: "ringfence-nn", ours: &[], never: &["tokio"], with_tests: true },
    Rule {
        package: "ringfence-imaging",
        ours: &[],
        never: &["candle-*", "tokio"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-learning",
        ours: &["weights", "nn", "imaging", "durable", "words"],
        never: &["hpke", "x-wing", "reqwest", "clap", "axum", "tfhe*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-options",
        ours: &OPTIONS,
        never: &["axum", "sqlx*", "tfhe*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence-lab",
        ours: &PROGRAM,
        never: &["axum", "sqlx*", "tfhe*"],
        with_tests: true,
    },
    Rule {
        package: "ringfence",
        ours: &PROGRAM,
        never: &["axum", "sqlx*", "tfhe*"],
        with_tests: true,
    },
];

/// The names of the packages that `cargo tree` lists.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| !name.is_empty() && !name.starts_with('[')).map(str::to_owned).collect()
}

fn is_ours(package: &str) -> bool {
    package == "ringfence" || package.starts_with("ringfence-")
}

fn matches(package: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => package.starts_with(start),
        None => package == pattern,
    }
}

#[test]
fn every_package_reaches_what_it_may_and_nothing_else() {
    for Rule { package, ours, never, with_tests } in RULES {
        let edges = if with_tests { "normal,build,dev" } else { "normal,build" };
        let mut tree = tree(&["-p", package, "-e", edges]);
        assert!(tree.remove(package), "{package} is not in its own tree: {tree:?}");
        let allowed = |found: &str| {
            let ours = ours.iter().any(|name| found == format!("ringfence-{name}"));
            ours || !is_ours(found) && !never.iter().any(|pattern| matches(found, pattern))
        };
        let offending: Vec<_> = tree.iter().filter(|found| !allowed(found)).collect();
        assert!(offending.is_empty(), "{package} must not reach {offending:?}");
    }
}

#[test]
fn every_package_has_its_rule() {
    let members = tree(&["--workspace", "--depth", "0"]);
    let mut ruled: BTreeSet<String> = RULES.iter().map(|rule| rule.package.to_owned()).collect();
    // They compare with everything, or play both sides, and nothing is built from them.
    ruled.extend(["ringfence-benches", "ringfence-replays"].map(str::to_owned));
    assert_eq!(members, ruled);
}

#[test]
fn a_round_in_memory_serves_tests_and_benches_only() {
    let mut users =
        tree(&["--workspace", "-i", "ringfence-testkit", "-e", "normal,build,dev", "--depth", "1"]);
    users.remove("ringfence-testkit");
    let may = ["audit", "keys", "tfhe", "benches"];
    let offending: Vec<_> = users
        .iter()
        .filter(|user| !may.iter().any(|name| **user == format!("ringfence-{name}")))
        .collect();
    assert!(users.len() > 1 && offending.is_empty(), "{users:?}");
}

#[test]
fn nothing_is_built_from_the_laboratory_the_benches_or_a_command() {
    for package in ["ringfence-audit", "ringfence-lab", "ringfence-benches", "ringfence"] {
        let mut users = tree(&["--workspace", "-i", package, "-e", "normal,build"]);
        // The same command, in a page.
        if package == "ringfence-audit" {
            assert!(users.remove("ringfence-audit-page"));
        }
        assert_eq!(users.into_iter().collect::<Vec<_>>(), [package]);
    }
}

/// The test programs of several files, below a folder.
fn test_programs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            test_programs(&entry, found);
        } else if name == "main.rs" && entry.components().any(|part| part.as_os_str() == "tests") {
            found.push(entry);
        }
    }
}

/// A file that its `main.rs` does not name is compiled by nobody: its tests cannot fail.
#[test]
fn every_file_of_tests_is_run() {
    let mut programs = Vec::new();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    test_programs(&root.canonicalize().unwrap(), &mut programs);
    assert!(programs.len() > 3, "{programs:?}");
    for main in programs {
        let text = std::fs::read_to_string(&main).unwrap();
        for file in std::fs::read_dir(main.parent().unwrap()).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let is_module = file.extension().is_some_and(|ending| ending == "rs") && name != "main";
            let named = text.lines().any(|line| line == format!("mod {name};"));
            assert!(!is_module || named, "{} does not name `mod {name};`", main.display());
        }
    }
}
