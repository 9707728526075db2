//! Broken requests: each gets the right problem, the next request works, and nothing is stored.

mod bodies;
mod framing;
mod late;

use serde_json::{Value, json};

use crate::client::{Answer, Connection, Request};
use crate::server::Server;

/// One broken request.
struct Broken {
    what: String,
    bytes: Vec<u8>,
    status: u16,
    code: &'static str,
    /// Whether the connection can be trusted no more.
    closes: bool,
}

impl Broken {
    /// A request that is well framed: the connection goes on.
    fn request(what: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Broken {
        Broken { what: what.into(), bytes: bytes.into(), status, code, closes: false }
    }

    /// A request whose end is not known.
    fn framing(what: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Broken {
        Broken { closes: true, ..Broken::request(what, bytes, status, code) }
    }
}

/// The tokens that the broken requests come with.
struct Tokens {
    admin: String,
    reader: String,
}

/// A whole order, which is fit to be broken.
fn good() -> Value {
    json!({"customer": "c-1", "items": [{"sku": "s-1", "quantity": 1}], "payment": {"token": "tok_ok"}})
}

/// What must not change: orders, stock and money.
fn stored(server: &Server) -> [Value; 4] {
    let found = server.admin().invariants();
    ["orders", "stock", "money", "shards"].map(|name| found[name].clone())
}

fn send(server: &Server, bytes: &[u8]) -> std::io::Result<(Answer, Connection)> {
    let mut connection = Connection::open(server.address())?;
    connection.send(bytes)?;
    let answer = connection.answer()?;
    Ok((answer, connection))
}

fn check(server: &Server, broken: &Broken) -> Result<(), String> {
    let fail = |why: String| Err(format!("{}: {why}", broken.what));
    let (answer, mut connection) = match send(server, &broken.bytes) {
        Ok(answered) => answered,
        Err(error) => return fail(format!("no answer: {error}")),
    };
    if answer.field("Content-Type") != Some("application/problem+json") {
        return fail(format!("no problem document: {answer:?}"));
    }
    if (answer.status, &*answer.code()) != (broken.status, broken.code) {
        return fail(format!("{} {} expected: {answer:?}", broken.status, broken.code));
    }
    if (answer.field("Connection") == Some("close")) != broken.closes {
        return fail(format!("closes: {} expected: {answer:?}", broken.closes));
    }
    if broken.closes {
        return if connection.is_closed() { Ok(()) } else { fail("the connection is not closed".into()) };
    }
    // The request was refused and nothing else was: what follows on the connection is read as a request.
    connection
        .send(&Request::get("/actuator/health/liveness").bytes(None))
        .map_err(|error| format!("{}: {error}", broken.what))?;
    match connection.answer() {
        Ok(next) if next.status == 200 => Ok(()),
        next => fail(format!("the next request on the connection: {next:?}")),
    }
}

/// Sends them all; every one that is not answered as it should be is named.
fn check_all(server: &Server, table: &[Broken]) {
    let before = stored(server);
    let mut failures: Vec<String> = table.iter().filter_map(|broken| check(server, broken).err()).collect();
    if stored(server) != before {
        failures.push("something was stored".into());
    }
    let fresh = server.admin().get("/v1/orders");
    assert_eq!(fresh.status, 200, "the next request on a fresh connection: {fresh:?}");
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), table.len(), failures.join("\n"));
}

/// A server with one product, and the tokens for it.
fn server_and_tokens() -> (Server, Tokens) {
    let server = Server::start(&[]);
    server.admin().stock("s-1", 10);
    let tokens = Tokens { admin: server.token("root", "admin"), reader: server.token("reader", "orders:read") };
    (server, tokens)
}

#[test]
fn sixty_and_more_broken_requests_are_refused_and_nothing_is_stored() {
    let (server, tokens) = server_and_tokens();
    let mut table = bodies::table(&tokens);
    table.extend(framing::table(&tokens));
    assert!(table.len() >= 60, "{} broken requests", table.len());
    check_all(&server, &table);
}

/// Trap 29: what stands behind a framing error is not a request.
#[test]
fn trap_29_nothing_behind_a_framing_error_is_carried_out() {
    let (server, tokens) = server_and_tokens();
    let smuggled = Request::place("smuggled", good()).bytes(Some(&tokens.admin));
    let table: Vec<Broken> = framing::table(&tokens)
        .into_iter()
        .filter(|broken| broken.closes)
        .map(|broken| Broken { bytes: [&*broken.bytes, &smuggled].concat(), ..broken })
        .collect();
    assert!(table.len() >= 20, "{} broken requests", table.len());
    check_all(&server, &table);
}
