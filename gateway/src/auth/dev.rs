//! The development key: made in the data directory, known to this machine only.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use orderlane_core::Time;
use orderlane_core::limits::SUBJECT_LEN_MAX;
use serde::Deserialize;
use serde_json::json;

use super::Scope;
use super::keys::KeyError;

/// `iss` of development tokens.
pub(super) const DEV_ISSUER: &str = "orderlane-dev";
/// `aud` of development tokens.
pub(super) const DEV_AUDIENCE: &str = "orderlane";
/// Bytes of the secret: as many as the hash has (RFC 7518 §3.2).
const SECRET_LEN: usize = 32;

/// A development key, read from its JWK.
pub(super) struct DevKey {
    pub(super) kid: String,
    pub(super) secret: Vec<u8>,
}

impl DevKey {
    pub(super) fn parse(jwk: &[u8]) -> Result<DevKey, KeyError> {
        #[derive(Deserialize)]
        struct Document {
            kty: String,
            alg: String,
            kid: String,
            k: String,
        }
        let unusable =
            || KeyError("not a development key; delete the file, and a new one is made at the next start".into());
        let document: Document = serde_json::from_slice(jwk).map_err(|_| unusable())?;
        let secret = URL_SAFE_NO_PAD.decode(&document.k).map_err(|_| unusable())?;
        let kept = document.kty == "oct" && document.alg == "HS256" && secret.len() >= SECRET_LEN;
        if kept { Ok(DevKey { kid: document.kid, secret }) } else { Err(unusable()) }
    }
}

/// A new development key as the text of a JWK (RFC 7517): HS256, 256 random bits from the kernel.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn dev_key_generate() -> io::Result<Vec<u8>> {
    let mut random = [0; SECRET_LEN + 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let (secret, name) = random.split_at(SECRET_LEN);
    let jwk = json!({
        "kty": "oct",
        "use": "sig",
        "alg": "HS256",
        "kid": format!("dev-{}", URL_SAFE_NO_PAD.encode(name)),
        "k": URL_SAFE_NO_PAD.encode(secret),
    });
    Ok(format!("{jwk}\n").into_bytes())
}

/// A token for `subject`, valid from `now` for `ttl`, signed with the development key.
///
/// # Errors
/// When the JWK is no development key or the subject is not 1 to 255 bytes long.
pub fn sign(jwk: &[u8], subject: &str, scopes: &[Scope], ttl: Duration, now: Time) -> Result<String, KeyError> {
    if !(1..=SUBJECT_LEN_MAX).contains(&subject.len()) {
        return Err(KeyError(format!("a subject has 1 to {SUBJECT_LEN_MAX} bytes")));
    }
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    let seconds = now.0 / 1_000_000;
    let claims = json!({
        "iss": DEV_ISSUER,
        "aud": DEV_AUDIENCE,
        "sub": subject,
        "scope": scopes.join(" "),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds.saturating_add(ttl.as_secs()),
    });
    let key = DevKey::parse(jwk)?;
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key.kid});
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&key.secret), Algorithm::HS256)
            .map_err(|error| KeyError(format!("the token cannot be signed: {error}")))?;
    Ok(format!("{message}.{signature}"))
}
