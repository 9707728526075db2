//! What comes from others: the licences, sources and bans of `deny.toml`, held without cargo-deny.

use cargo_metadata::{Metadata, MetadataCommand};

/// The packages that are built on this machine.
fn metadata() -> Metadata {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--locked".to_owned(), "--filter-platform".to_owned(), platform];
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(options).exec().expect("cargo metadata")
}

fn deny() -> toml::Table {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("deny.toml");
    text.parse().expect("TOML")
}

fn texts<'t>(value: &'t toml::Value, name: Option<&str>) -> Vec<&'t str> {
    let entries = value.as_array().expect("an array");
    entries.iter().filter_map(|entry| name.map_or(Some(entry), |name| entry.get(name))?.as_str()).collect()
}

/// Whether an SPDX expression can be kept with these licences.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let kept = any(&mut words, allowed);
    kept && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut kept = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        kept |= all(words, allowed);
    }
    kept
}

fn all(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut kept = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        kept &= one(words, allowed);
    }
    kept
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    match words.next() {
        Some("(") => {
            let kept = any(words, allowed);
            words.next_if_eq(&")").is_some() && kept
        }
        // An exception only gives more rights, but the list has to name it.
        Some(licence) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            allowed.contains(&&*format!("{licence} WITH {exception}"))
        }
        Some(licence) => allowed.contains(&licence),
        None => false,
    }
}

#[test]
fn expressions_of_licences() {
    for (expression, kept) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("ISC AND (GPL-3.0 OR GPL-2.0)", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
        ("MIT ISC", false),
    ] {
        assert_eq!(is_allowed(expression, &["MIT", "ISC", "Apache-2.0"]), kept, "{expression}");
    }
}

#[test]
fn licences_sources_and_bans_are_those_of_deny_toml() {
    let (metadata, deny) = (metadata(), deny());
    let allowed = texts(&deny["licenses"]["allow"], None);
    let banned = texts(&deny["bans"]["deny"], Some("crate"));
    let registries = texts(&deny["sources"]["allow-registry"], None);
    assert!(metadata.packages.len() > 50, "all packages, not ours alone: {}", metadata.packages.len());
    let resolve = metadata.resolve.as_ref().expect("the resolved graph");
    for package in metadata.packages.iter().filter(|package| resolve.nodes.iter().any(|node| node.id == package.id)) {
        let licence = package.license.as_deref().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} {}: {licence}", package.name, package.version);
        assert!(!banned.contains(&package.name.as_str()), "{} is banned", package.name);
        let ours = metadata.workspace_members.contains(&package.id);
        let source = package.source.as_ref().map(|source| source.repr.trim_start_matches("registry+"));
        assert!(source.map_or(ours, |source| registries.contains(&source)), "{}: {source:?}", package.name);
    }
    let used = |licence: &&str| {
        metadata.packages.iter().any(|package| package.license.as_deref().is_some_and(|text| text.contains(*licence)))
    };
    assert!(allowed.iter().all(used), "a licence is allowed that nobody uses");
}
