//! The data directory: who may open it, and what is refused by name.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::binary::{Ended, orderlane, run};
use crate::orders::{order, order_with};
use crate::server::Server;

fn serve(data: &Path, flags: &[&str]) -> Ended {
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("a UTF-8 path")];
    arguments.extend_from_slice(flags);
    run(&mut orderlane(&arguments))
}

#[test]
fn a_second_process_is_refused_while_the_first_runs() {
    let server = Server::start(&["--lanes", "1"]);
    let data = server.data();
    serve(&data, &[]).assert_refused(&[data.to_str().expect("UTF-8"), "in use by another process"]);
    assert_eq!(server.admin().get("/v1/orders").status, 200, "the first goes on");
    server.kill();
    server.restart(&["--lanes", "1"]);
}

#[test]
fn another_shard_count_is_refused_and_the_right_one_is_not() {
    let server = Server::start(&["--shards", "4", "--lanes", "1"]);
    server.terminate();
    serve(&server.data(), &["--shards", "8"]).assert_refused(&["4 shards", "--shards"]);
    serve(&server.data(), &["--lanes", "5"]).assert_refused(&["--lanes 5", "4 shards"]);
    for flags in [&["--shards", "4", "--lanes", "1"][..], &["--lanes", "4"]] {
        server.restart(flags);
        server.terminate();
    }
}

#[test]
fn the_development_key_is_for_its_owner_only() {
    let server = Server::start(&["--lanes", "1"]);
    for name in ["dev-key.jwk", "orderlane.json"] {
        let mode = fs::metadata(server.data().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let aside = fs::read_dir(server.data().parent().expect("a parent")).expect("a directory").count();
    assert_eq!(aside, 1, "nothing is left aside");
}

#[test]
fn what_is_no_data_directory_is_refused_by_name_and_left_alone() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let format =
        |text: &str| format!("{{\"format\":\"{text}\",\"version\":1,\"identity\":\"00\",\"shards\":8,\"seed\":1}}");
    for (name, file, content) in [
        ("photos", "cat.jpg", "meow".to_owned()),
        ("damaged", "orderlane.json", "{".to_owned()),
        ("empty-file", "orderlane.json", String::new()),
        ("another", "orderlane.json", format("postgres")),
    ] {
        let path = home.path().join(name);
        fs::create_dir(&path).expect("made");
        fs::write(path.join(file), &content).expect("written");
        serve(&path, &[]).assert_refused(&[path.to_str().expect("UTF-8")]);
        assert_eq!(fs::read_to_string(path.join(file)).ok(), Some(content), "{name}");
        assert_eq!(fs::read_dir(&path).expect("there").count(), 1, "{name}: nothing was added");
    }
    let server = Server::start(&["--lanes", "1"]);
    server.terminate();
    let path = server.data().join("orderlane.json");
    let later = fs::read_to_string(&path).expect("there").replacen("\"version\": 2", "\"version\": 3", 1);
    fs::write(&path, later).expect("written");
    serve(&server.data(), &[]).assert_refused(&["version 3", server.data().to_str().expect("UTF-8")]);
    let file = home.path().join("file");
    fs::write(&file, "x").expect("written");
    serve(&file, &[]).assert_refused(&[file.to_str().expect("UTF-8")]);
}

/// The segments with something in them, oldest first, and how many bytes they hold up to their last one that is not zero.
fn segments(data: &Path) -> Vec<(PathBuf, u64)> {
    let mut found: Vec<(PathBuf, u64)> = fs::read_dir(data)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .map(|path| {
            let bytes = fs::read(&path).expect("a segment");
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            (path, end as u64)
        })
        .filter(|(_, end)| *end > 1_000)
        .collect();
    found.sort();
    found
}

fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("a segment");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("read");
    byte[0] ^= 0x10;
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&byte)).expect("written");
}

/// Trap 24: bit rot in the middle is no torn tail; nothing that was acknowledged vanishes in silence.
#[test]
fn trap_24_a_flipped_byte_in_the_middle_of_the_journal_refuses_to_start() {
    let server = Server::start(&["--lanes", "1"]);
    let mut admin = server.admin();
    admin.stock("rot", 1_000);
    for number in 0..40 {
        let body = order_with(&format!("c-{number}"), "rot", json!({"reference": format!("rot-{number}")}));
        admin.place_to_end(&format!("k-{number}"), &body);
    }
    let before = admin.settled();
    server.kill();
    let (segment, _) = segments(&server.data()).swap_remove(0);
    let bytes = fs::read(&segment).expect("a segment");
    for reference in ["rot-0", "rot-15", "rot-30"] {
        let found = bytes.windows(reference.len()).position(|window| window == reference.as_bytes());
        let at = found.expect("a reference stands in the journal as it is") as u64;
        flip(&segment, at);
        let name = segment.file_name().expect("a name").to_str().expect("UTF-8");
        let refused = serve(&server.data(), &["--lanes", "1"]);
        refused.assert_refused(&["journal", name, "offset"]);
        let verify = run(&mut orderlane(&["journal", "verify", "--data", server.data().to_str().expect("UTF-8")]));
        assert!(!verify.status.success() && verify.stderr.contains("offset"), "{verify:?}");
        flip(&segment, at);
    }
    server.restart(&["--lanes", "2"]);
    assert_eq!(server.admin().invariants(), before, "the refusals have changed nothing");
}

/// Trap 26: what stands behind the end of the journal is not believed.
#[test]
fn trap_26_rubbish_behind_the_last_commit_is_cut_as_a_torn_tail() {
    let server = Server::start(&["--lanes", "1"]);
    let mut admin = server.admin();
    admin.stock("torn", 10);
    let kept = admin.place_to_end("k", &order("c", "torn", 1, "tok_ok"));
    let before = admin.settled();
    server.kill();
    let (segment, end) = segments(&server.data()).swap_remove(0);
    let bytes = fs::read(&segment).expect("a segment");
    let end = usize::try_from(end).expect("a length");
    // Whole frames of this journal at another place, as a recycled segment would show them.
    let stale = &bytes[4096.min(end)..end];
    assert!(stale.len() > 100, "{} bytes", stale.len());
    let mut file = OpenOptions::new().write(true).open(&segment).expect("a segment");
    let behind = end.next_multiple_of(4096) as u64;
    file.seek(SeekFrom::Start(behind)).and_then(|_| file.write_all(stale)).expect("written");
    server.restart(&["--lanes", "1"]);
    let mut admin = server.admin();
    let id = kept["id"].as_str().expect("an id");
    assert_eq!(admin.get(&format!("/v1/orders/{id}")).expect(200), kept);
    assert_eq!(admin.invariants(), before);
}
