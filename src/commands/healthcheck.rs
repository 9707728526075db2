//! `orderlane healthcheck`: exit 0 if a server is ready, for containers and scripts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use super::loadtest::address_of;
use crate::cli;
use crate::error::{Context, Error, Result};

pub(crate) fn healthcheck(options: &cli::Healthcheck) -> Result<ExitCode> {
    let address = address_of(&options.target)?;
    let mut stream =
        TcpStream::connect_timeout(&address, options.timeout).context(format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(options.timeout)).context("setting the time-out")?;
    let request = format!("GET /actuator/health/readiness HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context(format!("asking {address}"))?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).context(format!("waiting for {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or("none");
    if status == "200" {
        println!("ready");
        return Ok(ExitCode::SUCCESS);
    }
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Err(Error::new(format!("{address} is not ready: status {status} {body}")))
}
