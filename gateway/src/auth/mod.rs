//! Who calls, and what the token allows (RFC 8725: the key fixes the algorithm, every claim is checked, nothing is guessed).
//!
//! [`Keys`] are parsed once and shared; each lane owns an [`Authenticator`] with its own cache of verified tokens, so that a
//! token costs its signature once a lane and not once a request.

mod cache;
mod dev;
mod keys;
mod token;

use std::rc::Rc;
use std::sync::Arc;

use orderlane_core::Time;

use self::cache::Cache;
pub use self::dev::{dev_key_generate, sign};
pub use self::keys::{KeyError, Keys};
use crate::limits::TOKEN_LEN_MAX;
use crate::problem::{Code, Problem};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The verified subject: the scope of idempotency keys, the owner of orders.
    pub subject: Box<str>,
    /// Bits of [`Scope`].
    scopes: u8,
}

/// What a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// `orders:write`
    OrdersWrite = 1,
    /// `orders:read`
    OrdersRead = 2,
    /// `inventory:write`
    InventoryWrite = 4,
    /// `catalog:write`
    CatalogWrite = 8,
    /// `admin`: all of them.
    Admin = 16,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 5] =
        [Scope::OrdersWrite, Scope::OrdersRead, Scope::InventoryWrite, Scope::CatalogWrite, Scope::Admin];

    /// The name in the `scope` claim.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::OrdersWrite => "orders:write",
            Scope::OrdersRead => "orders:read",
            Scope::InventoryWrite => "inventory:write",
            Scope::CatalogWrite => "catalog:write",
            Scope::Admin => "admin",
        }
    }

    /// The scope with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl Principal {
    /// Whether the caller has the scope; `admin` implies all.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes & (scope as u8 | Scope::Admin as u8) != 0
    }

    /// A subject with the known ones among the space-separated scopes.
    fn new(subject: &str, scopes: &str) -> Principal {
        let scopes = scopes.split(' ').filter_map(Scope::parse).fold(0, |bits, scope| bits | scope as u8);
        Principal { subject: subject.into(), scopes }
    }
}

/// Verifies the tokens of one lane's requests.
#[derive(Debug)]
pub struct Authenticator {
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Off(Rc<Principal>),
    Keys { keys: Arc<Keys>, cache: Cache },
}

impl Authenticator {
    /// Verifies with these keys.
    #[must_use]
    pub fn new(keys: Arc<Keys>) -> Authenticator {
        Authenticator { mode: Mode::Keys { keys, cache: Cache::default() } }
    }

    /// Verifies nothing: everybody is `anonymous` and may do everything. For a loopback address only.
    #[must_use]
    pub fn off() -> Authenticator {
        Authenticator { mode: Mode::Off(Rc::new(Principal::new("anonymous", Scope::Admin.name()))) }
    }

    /// Who sends this `Authorization` at `now`.
    ///
    /// # Errors
    /// `unauthenticated`, with what to do about it.
    pub fn authenticate(&mut self, authorization: Option<&[u8]>, now: Time) -> Result<Rc<Principal>, Problem> {
        let (keys, cache) = match &mut self.mode {
            Mode::Off(anonymous) => return Ok(Rc::clone(anonymous)),
            Mode::Keys { keys, cache } => (keys, cache),
        };
        let token = bearer(authorization)?;
        if let Some(principal) = cache.find(token, now) {
            return Ok(principal);
        }
        let verified = keys.verify(token, now).map_err(refused)?;
        let principal = Rc::new(verified.principal);
        cache.insert(token, Rc::clone(&principal), verified.expires_at);
        Ok(principal)
    }
}

/// The token of `Bearer <token>`; the scheme is case-insensitive (RFC 9110 §11.1).
fn bearer(authorization: Option<&[u8]>) -> Result<&[u8], Problem> {
    let value = authorization.ok_or_else(|| refused("send `Authorization: Bearer <token>`"))?.trim_ascii();
    let token = match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii_start(),
        Some(_) | None => return Err(refused("the scheme must be `Bearer`, followed by a token")),
    };
    match token.len() {
        0 => Err(refused("the scheme must be `Bearer`, followed by a token")),
        1..=TOKEN_LEN_MAX => Ok(token),
        _ => Err(refused("the token is longer than 8 KiB")),
    }
}

#[cold]
fn refused(reason: &'static str) -> Problem {
    Problem::new(Code::Unauthenticated, format!("Not authenticated: {reason}."))
}

#[cfg(test)]
mod tests;
