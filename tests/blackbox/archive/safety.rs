//! Kills, damage, older directories, copies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{assert_replay, place_many, push_out, tiny, until_archived};
use crate::binary::{Ended, orderlane, run};
use crate::client::{Client, Request};
use crate::orders::{id_of, order_count};
use crate::server::Server;

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[track_caller]
fn verify(data: &Path) -> Value {
    let ended = run(&mut orderlane(&["journal", "verify", "--json", "--data", text(data)]));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn kills_while_it_archives_lose_and_double_nothing() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let mut placed = Vec::new();
    for kill in 0..6 {
        placed.extend(place_many(&mut server.customer("anna"), &format!("k-{kill}"), 50 + 17 * kill));
        server.kill();
        server.restart(&tiny(&[]));
    }
    let before = server.admin().settled();
    assert_eq!(order_count(&before), placed.len() as u64, "{before}");
    let mut client = server.customer("anna");
    placed.iter().for_each(|known| assert_replay(&mut client, known));
    assert_eq!(order_count(&server.admin().settled()), placed.len() as u64);
    server.kill();
    let offline = verify(&server.data());
    for part in ["stock", "orders", "money", "shards"] {
        assert_eq!(offline[part], before[part], "{part} read offline");
    }
}

/// Checkpoints of a data directory, the newest first.
fn checkpoints(data: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(data).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "ckp")).collect();
    found.sort_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time"));
    found.reverse();
    found
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so() {
    let server = Server::start(&tiny(&["--lanes", "1"]));
    server.admin().stock("archived", 1_000_000);
    let placed = place_many(&mut server.customer("anna"), "k", 120);
    push_out(&server, &mut server.customer("anna"), 200);
    let before = server.admin().settled();
    server.kill();
    let found = checkpoints(&server.data());
    assert!(found.len() >= 2, "two are kept: {found:?}");
    let mut bytes = fs::read(&found[0]).expect("a checkpoint");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&found[0], bytes).expect("written");
    server.restart(&tiny(&["--lanes", "1"]));
    let after = server.admin().invariants();
    for part in ["orders", "stock", "money", "shards", "violations"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    let mut client = server.customer("anna");
    placed.iter().for_each(|known| assert_replay(&mut client, known));
    server.begin_terminate();
    let (status, log) = server.wait_end();
    let name = found[0].file_name().expect("a name").to_str().expect("UTF-8");
    assert!(status.success() && log.contains(name), "the log does not name {name}: {log}");
}

/// The fixture is a data directory of version 1 and what `journal verify --json` of that release said about it.
#[test]
fn a_directory_of_version_1_is_upgraded_by_the_first_start() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let said: Value =
        serde_json::from_slice(&fs::read(fixtures.join("data-v1.json")).expect("the fixture's verify")).expect("JSON");
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let archive = fixtures.join("data-v1.tar.xz");
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(home.path()).status().expect("tar");
    assert!(unpacked.success(), "{}", archive.display());
    let old = fs::read_dir(home.path()).expect("there").next().expect("one directory").expect("an entry").path();
    let server = Server::start(&tiny(&["--shards", "4"]));
    server.terminate();
    fs::remove_dir_all(server.data()).expect("removed");
    fs::rename(&old, server.data()).or_else(|_| copy(&old, &server.data())).expect("moved");

    let format = || fs::read_to_string(server.data().join("orderlane.json")).expect("the format");
    for command in [&["journal", "verify"][..], &["journal", "show"], &["journal", "export"]] {
        let ended = run(orderlane(command).args(["--data", text(&server.data())]));
        assert!(ended.status.success() && format().contains("\"version\": 1"), "{command:?}: {ended:?}");
    }
    // How a digest is made is no promise between releases; all that it stands for is.
    let found = verify(&server.data());
    for part in ["orders", "stock", "money", "violations"] {
        assert_eq!(found[part], said[part], "{part} before the upgrade");
    }
    let sequences = |of: &Value| -> Vec<Value> {
        of["shards"].as_array().expect("shards").iter().map(|shard| shard["sequence"].clone()).collect()
    };
    assert_eq!(sequences(&found), sequences(&said), "before the upgrade");
    server.restart(&["--lanes", "2"]);
    assert!(format().contains("\"version\": 2"), "{}", format());
    assert!(server.banner("upgraded").contains("version 1"));
    let found = server.admin().settled();
    assert_eq!((&found["orders"], &found["stock"]), (&said["orders"], &said["stock"]));
    let page = server.admin().get("/v1/orders?limit=200").expect(200);
    let orders = page["items"].as_array().expect("items");
    assert!(!orders.is_empty(), "the old orders are listed");
    for order in orders {
        assert_eq!(&server.admin().get(&format!("/v1/orders/{}", id_of(order))).expect(200), order);
    }
    server.terminate();
    assert_eq!(verify(&server.data())["orders"], said["orders"], "after the upgrade");
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    if copied.success() { Ok(()) } else { Err(std::io::Error::other("cp failed")) }
}

fn backup(server: &Server, target: &Path) -> Ended {
    run(&mut orderlane(&["backup", "--data", text(&server.data()), text(target)]))
}

#[test]
fn a_backup_under_load_is_restored_whole() {
    let server = Server::start(&tiny(&[]));
    server.admin().stock("archived", 1_000_000);
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let target = home.path().join("backup");
    let placed = place_many(&mut server.customer("anna"), "k", 120);
    until_archived(&server, 32);
    let ended = std::thread::scope(|scope| {
        let load = scope.spawn(|| place_many(&mut server.customer("otto"), "load", 200).len());
        let ended = backup(&server, &target);
        assert_eq!(load.join().expect("the load goes on"), 200);
        ended
    });
    assert!(ended.status.success(), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("a report");
    assert_eq!(report["shards"].as_array().map(Vec::len), Some(4), "{report}");
    backup(&server, &target).assert_refused(&["not empty"]);
    server.terminate();

    // In the place of the old one: everything that was acknowledged before the backup is there.
    fs::rename(server.data(), home.path().join("old")).expect("moved");
    let restored = run(&mut orderlane(&["restore", text(&target), "--data", text(&server.data())]));
    assert!(restored.status.success() && restored.stdout.contains("violations 0"), "{restored:?}");
    for (shard, position) in verify(&server.data())["shards"]
        .as_array()
        .expect("shards")
        .iter()
        .zip(report["shards"].as_array().expect("shards"))
    {
        assert!(shard["sequence"].as_u64() >= position["sequence"].as_u64(), "{shard} {position}");
    }
    server.restart(&tiny(&[]));
    let mut client: Client = server.customer("anna");
    placed.iter().for_each(|known| assert_replay(&mut client, known));
    server.admin().settled();
}

#[test]
fn a_stopped_directory_is_copied_too_and_a_broken_copy_is_refused() {
    let server = Server::start(&["--lanes", "1"]);
    server.admin().stock("archived", 100);
    let placed = place_many(&mut server.customer("anna"), "k", 20);
    let before = server.admin().settled();
    server.terminate();
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let (target, restored) = (home.path().join("backup"), home.path().join("restored"));
    let ended = backup(&server, &target);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(verify(&target)["shards"], before["shards"]);
    let largest = fs::read_dir(&target).expect("there").map(|entry| entry.expect("an entry").path());
    let used = |path: &PathBuf| fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte != 0).count());
    let segment =
        largest.filter(|path| path.extension().is_some_and(|end| end == "seg")).max_by_key(used).expect("one");
    let mut bytes = fs::read(&segment).expect("a segment");
    let at = bytes.windows(3).position(|window| window == b"r-3").expect("a reference stands in it");
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("written");
    run(&mut orderlane(&["restore", text(&target), "--data", text(&restored)])).assert_refused(&["refused"]);
    assert_eq!(fs::read_dir(home.path()).expect("there").count(), 1, "the broken copy is gone");
    server.restart(&["--lanes", "1"]);
    let replay = server.customer("anna").send(&Request::place(&placed[0].key, &placed[0].body));
    assert_eq!(replay.body, placed[0].first.body);
}
