//! The workspace's imports, held to the table of the design: imports run down only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What each crate may import of ours. A crate that is not here may not be in the workspace.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("orderlane-core", &[]),
    ("orderlane-loadtest", &[]),
    ("orderlane-lane", &["orderlane-core"]),
    ("orderlane-monoio", &["orderlane-core", "orderlane-lane"]),
    ("orderlane-journal", &["orderlane-core", "orderlane-lane"]),
    ("orderlane-archive", &["orderlane-core", "orderlane-lane"]),
    ("orderlane-gateway", &["orderlane-core", "orderlane-lane"]),
    ("orderlane-criterion", &["orderlane-core", "orderlane-lane", "orderlane-journal", "orderlane-gateway"]),
    (
        "orderlane-sim",
        &["orderlane-core", "orderlane-lane", "orderlane-journal", "orderlane-archive", "orderlane-gateway"],
    ),
    (
        "orderlane",
        &[
            "orderlane-core",
            "orderlane-lane",
            "orderlane-monoio",
            "orderlane-journal",
            "orderlane-archive",
            "orderlane-gateway",
            "orderlane-loadtest",
        ],
    ),
];
/// A driver has exactly one of these; nobody else has any.
const RUNTIMES: [&str; 5] = ["monoio", "glommio", "tokio", "async-std", "smol"];
const DRIVERS: [(&str, &str); 1] = [("orderlane-monoio", "monoio")];
/// All that the core may know: what works without std.
const CORE_DEPENDENCIES: [&str; 3] = ["hashbrown", "foldhash", "smallvec"];
/// Where `unsafe` may stand.
const UNSAFE_CRATES: [&str; 1] = ["orderlane-monoio"];

fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata")
    })
}

/// The workspace's crates by name.
fn ours() -> BTreeMap<&'static str, &'static Package> {
    metadata().workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
}

/// Names of the dependencies of all kinds that `wanted` are asked for.
fn dependencies(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    let wanted = package.dependencies.iter().filter(|dependency| kinds.contains(&dependency.kind));
    wanted.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn every_crate_imports_what_the_table_allows() {
    let ours = ours();
    let listed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    for (name, package) in &ours {
        let allowed = listed.get(name).unwrap_or_else(|| panic!("{name} has no line in the table"));
        for kinds in [&[DependencyKind::Normal, DependencyKind::Build][..], &[DependencyKind::Development]] {
            for dependency in
                dependencies(package, kinds).iter().filter(|dependency| ours.contains_key(dependency.as_str()))
            {
                // A test may also use the crate that it tests.
                let own = dependency == name;
                assert!(own || allowed.contains(&dependency.as_str()), "{name} may not import {dependency}");
            }
        }
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), listed.keys().collect::<Vec<_>>(), "the table and the workspace");
}

#[test]
fn a_runtime_is_known_to_its_driver_only() {
    let drivers = BTreeMap::from(DRIVERS);
    for (name, package) in ours() {
        let all = dependencies(package, &[DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development]);
        let found: Vec<&String> = all.iter().filter(|dependency| RUNTIMES.contains(&dependency.as_str())).collect();
        let expected: Vec<&str> = drivers.get(name).copied().into_iter().collect();
        assert_eq!(found, expected, "runtimes of {name}");
    }
}

#[test]
fn the_core_needs_no_std_and_no_other_crate() {
    let core = ours()["orderlane-core"];
    let found = dependencies(core, &[DependencyKind::Normal, DependencyKind::Build]);
    let foreign: Vec<&String> = found.iter().filter(|name| !CORE_DEPENDENCIES.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for dependency in core.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal) {
        let has_std = dependency.features.iter().any(|feature| feature == "std");
        assert!(!has_std, "{} with std", dependency.name);
    }
    let library = core.targets.iter().find(|target| target.is_lib()).expect("a library");
    let source = fs::read_to_string(&library.src_path).expect("its source");
    assert!(source.contains("#![no_std]"), "{}", library.src_path);
    for file in sources(core) {
        let text = read(&file);
        let std_user = text.lines().find(|line| !line.trim_start().starts_with("//") && line.contains("std::"));
        assert!(std_user.is_none() || file.contains("/tests/"), "{file}: {std_user:?}");
    }
}

#[test]
fn unsafe_stands_in_drivers_only_each_with_its_reason() {
    for (name, package) in ours() {
        for file in sources(package) {
            let text = read(&file);
            let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
            for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
                assert!(UNSAFE_CRATES.contains(&name), "{file}:{}: {line}", at + 1);
                let reasons = lines[at.saturating_sub(8)..at]
                    .iter()
                    .any(|line| line.contains("SAFETY") || line.contains("# Safety"));
                assert!(reasons, "{file}:{}: no SAFETY: {line}", at + 1);
            }
        }
    }
}

/// Whether a line of code, not of comment or text, begins something unsafe.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let word = concat!("un", "safe");
    ["{", "fn", "impl", "extern", "trait"].iter().any(|next| code.contains(&format!("{word} {next}")))
}

/// All Rust files of a crate, but for those of crates inside it.
fn sources(package: &Package) -> Vec<String> {
    let root = package.manifest_path.parent().expect("a directory").as_std_path();
    let mut files = Vec::new();
    for part in ["src", "tests", "benches", "examples", "build.rs"] {
        collect(&root.join(part), &mut files);
    }
    assert!(!files.is_empty(), "{} has no sources", package.name);
    files
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn collect(path: &Path, files: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            collect(&entry.expect("an entry").path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
        files.push(path.to_str().expect("UTF-8").to_owned());
    }
}
