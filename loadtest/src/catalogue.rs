//! Filling the catalogue before a run.

use crate::{
    client::{Client, expect_ok},
    error::{Error, Result},
    limits::CATALOGUE_CHUNK,
    reply::lines,
};
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr};

/// What the server made of the products.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// New products.
    pub created: u64,
    /// Products that were there; their stock stays as it is.
    pub updated: u64,
    /// Products that were refused, by code.
    pub refused: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Line {
    result: String,
    code: Option<String>,
}

/// Creates or updates `sku-0` to `sku-<skus - 1>` in EUR with a stock of `stock_each`; `unit_price` is asked for the
/// number of the SKU. The token needs `catalog:write` and `inventory:write`.
pub fn load_catalogue(
    target: SocketAddr,
    token: Option<&str>,
    skus: u64,
    stock_each: u64,
    unit_price: impl Fn(u64) -> u64,
) -> Result<Summary> {
    let mut client = Client::new(target, token);
    let mut summary = Summary::default();
    for first in (0..skus).step_by(CATALOGUE_CHUNK as usize) {
        let chunk = first..skus.min(first + CATALOGUE_CHUNK);
        let mut body = String::new();
        for sku in chunk.clone() {
            let price = unit_price(sku);
            body.push_str(&format!(
                "{{\"sku\":\"sku-{sku}\",\"name\":\"Product {sku}\",\"unitPrice\":{price},\"currency\":\"EUR\",\"stock\":{stock_each}}}\n"
            ));
        }
        summary.load(&mut client, &body, chunk.end - chunk.start)?;
    }
    Ok(summary)
}

impl Summary {
    fn load(&mut self, client: &mut Client, body: &str, count: u64) -> Result<()> {
        const PATH: &str = "/v1/products:batch";
        let fields = "Content-Type: application/x-ndjson\r\nAccept: application/x-ndjson\r\n";
        let answer = expect_ok(PATH, client.ask("POST", PATH, fields, body.as_bytes())?)?;
        let malformed = |reason: String| Error::Malformed { what: PATH.to_owned(), reason };
        let mut seen = 0;
        for line in lines(&answer) {
            let line: Line = serde_json::from_slice(line).map_err(|error| malformed(error.to_string()))?;
            seen += 1;
            match line.result.as_str() {
                "created" => self.created += 1,
                "updated" => self.updated += 1,
                _ => *self.refused.entry(line.code.unwrap_or(line.result)).or_default() += 1,
            }
        }
        if seen == count { Ok(()) } else { Err(malformed(format!("{seen} lines for {count} products"))) }
    }
}
