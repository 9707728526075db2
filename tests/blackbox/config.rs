//! Settings: which one counts, and which are refused.

use std::fs;
use std::net::TcpListener;
use std::process::Child;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{orderlane, run};
use crate::client::Client;

/// A server whose settings come from all sides; killed at the end.
struct Settings(Child);

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `/actuator/info` of a server with a configuration file, an environment and flags.
fn info(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Value {
    use std::io::BufRead;
    let home = TempDir::new().expect("a temporary directory");
    let path = home.path().join("orderlane.toml");
    let data = home.path().join("data");
    fs::write(&path, format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\n{file}")).expect("written");
    let mut command = orderlane(&["--config", path.to_str().expect("UTF-8")]);
    command.args(flags).envs(environment.iter().copied());
    let mut server = Settings(command.spawn().expect("the binary starts"));
    let mut banner = String::new();
    let mut stdout = std::io::BufReader::new(server.0.stdout.take().expect("piped"));
    let _ = stdout.read_line(&mut banner);
    let address = banner.trim().rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no server: {file} {environment:?} {flags:?}: {banner}"));
    Client::anonymous(address).get("/actuator/info").expect(200)
}

#[test]
fn flag_before_environment_before_file() {
    let (file, environment) = ("lanes = 1\ndurability = \"os\"", ("ORDERLANE_LANES", "2"));
    for (file, environment, flags, lanes, durability) in [
        (file, &[][..], &[][..], 1, "os"),
        (file, &[environment], &[], 2, "os"),
        (file, &[environment], &["--lanes", "3"], 3, "os"),
        (file, &[], &["--lanes=3"], 3, "os"),
        (file, &[("ORDERLANE_DURABILITY", "fsync")], &[], 1, "fsync"),
        ("", &[environment], &[], 2, "fsync"),
    ] {
        let info = info(file, environment, flags);
        let runtime = &info["runtime"];
        assert_eq!(
            (runtime["lanes"].as_u64(), runtime["durability"].as_str()),
            (Some(lanes), Some(durability)),
            "{file} {environment:?} {flags:?}"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    let home = TempDir::new().expect("a temporary directory");
    let data = home.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (unknown, broken) = (file("unknown.toml", "lanse = 1"), file("broken.toml", "lanes = "));
    for (flags, words) in [
        (&["--listen", "0.0.0.0:0", "--auth", "off"][..], &["--auth off", "0.0.0.0"][..]),
        (&["--listen", "[::]:0", "--auth", "off"], &["--auth off"]),
        (&["--no-engine"], &["--no-engine", data]),
        (&["--auth", "password"], &["--auth", "jwks"]),
        (&["--auth", "jwks=/nowhere/keys.json"], &["/nowhere/keys.json"]),
        (&["--payment", "https://pay.example"], &["--payment"]),
        (&["--lanes", "9"], &["--lanes 9", "8 shards"]),
        (&["--lanes", "0"], &["--lanes"]),
        (&["--shards", "1025"], &["--shards"]),
        (&["--cores", "4095"], &["--cores", "4095"]),
        (&["--io", "kqueue"], &["--io", "epoll"]),
        (&["--hold-ttl", "soon"], &["--hold-ttl"]),
        (&["--nonsense"], &["--nonsense"]),
        (&["--config", &unknown], &["lanse", &unknown]),
        (&["--config", &broken], &[&broken]),
        (&["--config", "/nowhere.toml"], &["/nowhere.toml"]),
    ] {
        let mut command = orderlane(&["serve", "--data", data]);
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        run(command.args(flags)).assert_refused(words);
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let home = TempDir::new().expect("a temporary directory");
    let data = home.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = orderlane(&["serve", "--data", data.to_str().expect("UTF-8"), "--listen", &address]);
    run(&mut command).assert_refused(&[&address, "--listen"]);
    // Our own lanes share their port; another process of ours may not.
    let server = crate::server::Server::start(&[]);
    let address = server.address().to_string();
    let mut command = orderlane(&["serve", "--data", data.to_str().expect("UTF-8"), "--listen", &address]);
    run(&mut command).assert_refused(&[&address, "--listen"]);
}

#[test]
fn a_token_needs_a_data_directory_and_a_scope_that_exists() {
    run(&mut orderlane(&["token", "--data", "/nowhere", "--subject", "a"])).assert_refused(&["/nowhere"]);
    run(&mut orderlane(&["token", "--data", "/nowhere"])).assert_refused(&["--subject"]);
    let arguments = ["token", "--data", "/nowhere", "--subject", "a", "--scope", "root"];
    run(&mut orderlane(&arguments)).assert_refused(&["root", "orders:write"]);
}
