//! The keys that tokens are verified with. A key fixes its algorithm; a token only says which key.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use orderlane_core::Time;
use serde::Deserialize;

use super::dev::{DEV_AUDIENCE, DEV_ISSUER, DevKey};
use super::token::{self, Verified};

/// Clocks of the issuer and of this machine differ by at most so much, in seconds (RFC 8725 §3.10 leaves it to us; ≤ 60).
const LEEWAY_SECONDS: u64 = 30;

/// Why a key document is not accepted. The text says what to do; it never shows a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(pub(super) String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// Keys by their `kid`, and what their tokens must claim.
#[derive(Debug)]
pub struct Keys {
    named: HashMap<Box<str>, Key>,
    /// The key of a document with a single key: also for tokens that name none.
    only: Option<Key>,
    pub(super) issuer: Box<str>,
    pub(super) audience: Box<str>,
    pub(super) leeway_seconds: u64,
}

/// A key and the one algorithm that it is for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Keys {
    /// The development key, from its JWK. Issuer and verifier share a clock, so there is no leeway.
    ///
    /// # Errors
    /// When the JWK is not one that [`super::dev_key_generate`] makes.
    ///
    /// # Panics
    /// When the crypto backend fails its self-test.
    pub fn dev(jwk: &[u8]) -> Result<Keys, KeyError> {
        self_test();
        let dev = DevKey::parse(jwk)?;
        let key = Key { algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(&dev.secret) };
        Ok(Keys {
            named: HashMap::from([(dev.kid.into_boxed_str(), key.clone())]),
            only: Some(key),
            issuer: DEV_ISSUER.into(),
            audience: DEV_AUDIENCE.into(),
            leeway_seconds: 0,
        })
    }

    /// The public keys of a JWKS document (RFC 7517 §5). Keys for encryption and of unknown types are left out, as the RFC
    /// asks; a symmetric key in a public document is an error.
    ///
    /// # Errors
    /// When there is no usable key, a key without `kid` beside others, or a `kid` twice.
    ///
    /// # Panics
    /// When the crypto backend fails its self-test.
    pub fn jwks(document: &[u8], issuer: &str, audience: &str) -> Result<Keys, KeyError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Jwk>,
        }
        self_test();
        let document: Document =
            serde_json::from_slice(document).map_err(|error| KeyError(format!("not a JWKS document: {error}")))?;
        let mut found = Vec::new();
        for jwk in document.keys {
            if let Some(key) = Key::of(&jwk)? {
                found.push((jwk.common.key_id, key));
            }
        }
        let only = match &found[..] {
            [] => {
                return Err(KeyError(
                    "the JWKS document has no key for RS256, ES256, ES384 or EdDSA signatures".into(),
                ));
            }
            [(_, only)] => Some(only.clone()),
            _ => None,
        };
        let mut keys = Keys {
            named: HashMap::new(),
            only,
            issuer: issuer.into(),
            audience: audience.into(),
            leeway_seconds: LEEWAY_SECONDS,
        };
        for (kid, key) in found {
            keys.add(kid, key)?;
        }
        Ok(keys)
    }

    fn add(&mut self, kid: Option<String>, key: Key) -> Result<(), KeyError> {
        match kid {
            Some(kid) if self.named.contains_key(&*kid) => Err(KeyError(format!("two keys have the kid {kid:?}"))),
            Some(kid) => {
                self.named.insert(kid.into_boxed_str(), key);
                Ok(())
            }
            None if self.only.is_some() => Ok(()),
            None => Err(KeyError("a key without kid stands beside others: tokens could not say which one".into())),
        }
    }

    /// The key that a token names: a look-up and nothing else.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.named.get(kid),
            None => self.only.as_ref(),
        }
    }

    /// Who the token speaks for, or the reason why it is refused.
    pub(super) fn verify(&self, token: &[u8], now: Time) -> Result<Verified, &'static str> {
        token::verify(self, token, now)
    }
}

impl Key {
    /// `None`: not a key for signatures that we know.
    fn of(jwk: &Jwk) -> Result<Option<Key>, KeyError> {
        if matches!(&jwk.common.public_key_use, Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))) {
            return Ok(None);
        }
        let allowed: &[(KeyAlgorithm, Algorithm)] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                (KeyAlgorithm::RS256, Algorithm::RS256),
                (KeyAlgorithm::RS384, Algorithm::RS384),
                (KeyAlgorithm::RS512, Algorithm::RS512),
                (KeyAlgorithm::PS256, Algorithm::PS256),
                (KeyAlgorithm::PS384, Algorithm::PS384),
                (KeyAlgorithm::PS512, Algorithm::PS512),
            ],
            AlgorithmParameters::EllipticCurve(params) if params.curve == EllipticCurve::P256 => {
                &[(KeyAlgorithm::ES256, Algorithm::ES256)]
            }
            AlgorithmParameters::EllipticCurve(params) if params.curve == EllipticCurve::P384 => {
                &[(KeyAlgorithm::ES384, Algorithm::ES384)]
            }
            AlgorithmParameters::OctetKeyPair(params) if params.curve == EllipticCurve::Ed25519 => {
                &[(KeyAlgorithm::EdDSA, Algorithm::EdDSA)]
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err(KeyError("a symmetric key (kty oct) in a public JWKS document lets anybody sign".into()));
            }
            _ => return Ok(None),
        };
        let algorithm = match jwk.common.key_algorithm {
            None => Some(allowed[0].1),
            Some(named) => allowed.iter().find(|(known, _)| *known == named).map(|(_, algorithm)| *algorithm),
        };
        let Some(algorithm) = algorithm else {
            return Ok(None);
        };
        let decoding = DecodingKey::from_jwk(jwk)
            .map_err(|error| KeyError(format!("the key {:?} cannot be read: {error}", jwk.common.key_id)))?;
        Ok(Some(Key { algorithm, decoding }))
    }
}

/// Signs and verifies a known text, so that a missing or doubled crypto backend stops the start and not the first request.
///
/// # Panics
/// When the backend does not work.
pub(super) fn self_test() {
    // RFC 4231, test case 2.
    let (secret, message) = (b"Jefe", b"what do ya want for nothing?");
    let expected = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
    let signature = jsonwebtoken::crypto::sign(message, &EncodingKey::from_secret(secret), Algorithm::HS256);
    assert_eq!(signature.as_deref().ok(), Some(expected), "the crypto backend signs as RFC 4231 says");
    let key = DecodingKey::from_secret(secret);
    let verified = |message: &[u8]| jsonwebtoken::crypto::verify(expected, message, &key, Algorithm::HS256).ok();
    assert_eq!(verified(message), Some(true), "the crypto backend accepts a good signature");
    assert_eq!(verified(b"something else"), Some(false), "the crypto backend refuses a bad signature");
}
