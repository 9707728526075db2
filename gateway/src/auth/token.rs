//! One token: its three parts, its header, its signature, its claims, in this order. RFC 7515, RFC 7519, RFC 8725.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use orderlane_core::Time;
use orderlane_core::limits::SUBJECT_LEN_MAX;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Principal;
use super::keys::Keys;

const MALFORMED: &str = "the token is not a signed JWT";

/// What a good token says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) principal: Principal,
    /// From then on it is refused.
    pub(super) expires_at: Time,
}

/// What of the header counts. `jku`, `jwk`, `x5u` and `x5c` are not even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
}

/// The claims that count, each of whatever type it has: a wrong type is a failure and never an absence.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    iss: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<Value>,
}

/// `null` is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Who the token speaks for, or the reason why it is refused.
pub(super) fn verify(keys: &Keys, token: &[u8], now: Time) -> Result<Verified, &'static str> {
    let text = std::str::from_utf8(token).map_err(|_| MALFORMED)?;
    let (message, signature) = text.rsplit_once('.').ok_or(MALFORMED)?;
    let (header, payload) = message.split_once('.').ok_or(MALFORMED)?;
    if payload.contains('.') {
        return Err(MALFORMED);
    }
    let header: Header = decoded(header)?;
    if header.crit.is_some() {
        return Err("the token has critical header parameters that are not understood");
    }
    let kid = match &header.kid {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err(MALFORMED),
    };
    let key = keys.find(kid).ok_or("the token is signed with an unknown key")?;
    if header.alg.parse::<Algorithm>().ok() != Some(key.algorithm) {
        return Err("the token's algorithm is not that of its key");
    }
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm) {
        Ok(true) => check(keys, &decoded(payload)?, now),
        Ok(false) | Err(_) => Err("the token's signature is not valid"),
    }
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, &'static str> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| MALFORMED)?;
    serde_json::from_slice(&json).map_err(|_| MALFORMED)
}

fn check(keys: &Keys, claims: &Claims, now: Time) -> Result<Verified, &'static str> {
    if claims.iss.as_ref().and_then(Value::as_str) != Some(&*keys.issuer) {
        return Err("the token's `iss` is not the expected issuer");
    }
    if !has_audience(claims.aud.as_ref(), &keys.audience) {
        return Err("the token's `aud` does not name this service");
    }
    let subject = claims.sub.as_ref().and_then(Value::as_str).unwrap_or_default();
    if !(1..=SUBJECT_LEN_MAX).contains(&subject.len()) {
        return Err("the token's `sub` must be a string of 1 to 255 bytes");
    }
    let scopes = match &claims.scope {
        None => "",
        Some(Value::String(scopes)) => scopes,
        Some(_) => return Err("the token's `scope` must be a string"),
    };
    let leeway_micros = keys.leeway_seconds * 1_000_000;
    let exp = claims.exp.as_ref().and_then(instant).ok_or("the token's `exp` must be there and be a number")?;
    let expires_at = exp.after_micros(leeway_micros);
    if now >= expires_at {
        return Err("the token has expired; get a new one");
    }
    if let Some(nbf) = &claims.nbf {
        let nbf = instant(nbf).ok_or("the token's `nbf` must be a number")?;
        if now.after_micros(leeway_micros) < nbf {
            return Err("the token is not valid yet");
        }
    }
    if claims.iat.as_ref().is_some_and(|iat| instant(iat).is_none()) {
        return Err("the token's `iat` must be a number");
    }
    Ok(Verified { principal: Principal::new(subject, scopes), expires_at })
}

/// RFC 7519 §4.1.3: one string, or an array of them.
fn has_audience(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(only)) => only == audience,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one.as_str() == Some(audience))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

/// RFC 7519 §2, NumericDate: seconds, perhaps with a fraction. `None` when it is no number or before 1970.
fn instant(value: &Value) -> Option<Time> {
    let Value::Number(number) = value else {
        return None;
    };
    if let Some(seconds) = number.as_u64() {
        return Some(Time(seconds.saturating_mul(1_000_000)));
    }
    let seconds = number.as_f64()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(Time((seconds * 1e6) as u64))
}
