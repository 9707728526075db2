//! One line a token, and what is said about it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::time::Duration;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SECONDS: u64 = 1_795_517_087;
const NOW: Time = Time(SECONDS * 1_000_000);
const JWKS: &str = include_str!("testdata/jwks.json");
const PRIVATE: &str = include_str!("testdata/private.json");

fn dev_jwk() -> Vec<u8> {
    let k = URL_SAFE_NO_PAD.encode(SECRET);
    json!({"kty": "oct", "alg": "HS256", "kid": "dev-1", "k": k}).to_string().into_bytes()
}

fn dev() -> Authenticator {
    Authenticator::new(Arc::new(Keys::dev(&dev_jwk()).expect("a key")))
}

fn jwks() -> Authenticator {
    Authenticator::new(Arc::new(Keys::jwks(JWKS.as_bytes(), "https://issuer.example", "orders").expect("keys")))
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "dev-1"})
}

fn claims() -> Value {
    json!({"iss": "orderlane-dev", "aud": "orderlane", "sub": "alice", "exp": SECONDS + 60, "scope": "orders:write orders:read"})
}

/// `value` with `name` set, or taken out by `null` as text.
fn set(mut value: Value, name: &str, to: Value) -> Value {
    value[name] = to;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("an object").remove(name);
    value
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed_by(key: &EncodingKey, algorithm: Algorithm, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).expect("a signature");
    format!("{message}.{signature}")
}

fn token(header: &Value, claims: &Value) -> String {
    signed_by(&EncodingKey::from_secret(SECRET), Algorithm::HS256, header, claims)
}

/// The subject, or the detail of the refusal.
fn ask(authenticator: &mut Authenticator, token: &str, now: Time) -> Result<String, String> {
    let header = format!("Bearer {token}");
    match authenticator.authenticate(Some(header.as_bytes()), now) {
        Ok(principal) => Ok(principal.subject.to_string()),
        Err(problem) => {
            assert_eq!(problem.code, Code::Unauthenticated);
            Err(problem.detail.into_owned())
        }
    }
}

/// Checks that each token is refused for a reason that contains the text, or accepted when that is empty.
fn check(authenticator: &mut Authenticator, cases: &[(String, &str)]) {
    for (token, reason) in cases {
        match ask(authenticator, token, NOW) {
            Ok(subject) => assert!(reason.is_empty(), "{token:.200} is accepted for {subject}, not: {reason}"),
            Err(detail) => assert!(!reason.is_empty() && detail.contains(reason), "{detail} is not: {reason}"),
        }
    }
}

#[test]
fn claims_are_checked_and_a_wrong_type_is_no_absence() {
    let claim = |name: &str, to: Value| token(&header(), &set(claims(), name, to));
    let lacks = |name: &str| token(&header(), &without(claims(), name));
    let long = "s".repeat(256);
    check(
        &mut dev(),
        &[
            (token(&header(), &claims()), ""),
            (claim("iss", json!("somebody")), "`iss`"),
            (claim("iss", json!(["orderlane-dev"])), "`iss`"),
            (lacks("iss"), "`iss`"),
            (claim("aud", json!("other")), "`aud`"),
            (claim("aud", json!(["other", "orderlane"])), ""),
            (claim("aud", json!(["orderlane", 1])), "`aud`"),
            (claim("aud", json!([])), "`aud`"),
            (claim("aud", json!({"orderlane": 1})), "`aud`"),
            (lacks("aud"), "`aud`"),
            (lacks("exp"), "`exp`"),
            (claim("exp", json!((SECONDS + 60).to_string())), "`exp`"),
            (claim("exp", json!(null)), "`exp`"),
            (claim("exp", json!(true)), "`exp`"),
            (claim("exp", json!(-1)), "`exp`"),
            (claim("exp", json!(SECONDS)), "expired"),
            (claim("exp", json!(SECONDS - 1)), "expired"),
            (claim("exp", json!(SECONDS as f64 + 0.5)), ""),
            (claim("exp", json!(u64::MAX)), ""),
            (claim("nbf", json!(SECONDS)), ""),
            (claim("nbf", json!(SECONDS + 1)), "not valid yet"),
            (claim("nbf", json!("0")), "`nbf`"),
            (claim("nbf", json!(null)), "`nbf`"),
            (claim("iat", json!("0")), "`iat`"),
            (lacks("sub"), "`sub`"),
            (claim("sub", json!("")), "`sub`"),
            (claim("sub", json!(7)), "`sub`"),
            (claim("sub", json!(long)), "`sub`"),
            (claim("sub", json!(long[1..])), ""),
            (lacks("scope"), ""),
            (claim("scope", json!(["orders:write"])), "`scope`"),
            (claim("other", json!({"any": "thing"})), ""),
        ],
    );
}

#[test]
fn the_key_fixes_the_algorithm() {
    let head = |name: &str, to: Value| token(&set(header(), name, to), &claims());
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims()));
    let good = token(&header(), &claims());
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let hs512 = signed_by(
        &EncodingKey::from_secret(SECRET),
        Algorithm::HS512,
        &set(header(), "alg", json!("HS512")),
        &claims(),
    );
    let other = signed_by(&EncodingKey::from_secret(b"other"), Algorithm::HS256, &header(), &claims());
    let swapped = format!("{}.{}.{signature}", part(&header()), part(&set(claims(), "sub", json!("bob"))));
    let twice = URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"bob\",{}", &claims().to_string()[1..]));
    let twice = format!("{}.{twice}", part(&header()));
    let twice_signature =
        jsonwebtoken::crypto::sign(twice.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256)
            .expect("signed");
    check(
        &mut dev(),
        &[
            (good.clone(), ""),
            (unsigned, "algorithm"),
            (format!("{message}."), "signature"),
            (head("alg", json!("none")), "algorithm"),
            (head("alg", json!("hs256")), "algorithm"),
            (head("alg", json!("RS256")), "algorithm"),
            (head("alg", json!(["HS256"])), "not a signed JWT"),
            (head("alg", json!(null)), "not a signed JWT"),
            (hs512, "algorithm"),
            (other, "signature"),
            (swapped, "signature"),
            (format!("{twice}.{twice_signature}"), "not a signed JWT"),
            (head("crit", json!(["b64"])), "critical"),
            (head("crit", json!([])), "critical"),
            (head("kid", json!("../../etc/passwd")), "unknown key"),
            (head("kid", json!("")), "unknown key"),
            (head("kid", json!(7)), "not a signed JWT"),
            (token(&without(header(), "kid"), &claims()), ""),
            (head("jku", json!("https://evil.example/keys")), ""),
            (head("jwk", json!({"kty": "oct", "k": "AAAA"})), ""),
        ],
    );
}

#[test]
fn what_is_no_token_is_refused() {
    let good = token(&header(), &claims());
    let padded = |suffix: &str| format!("{good}{suffix}");
    let long = token(&header(), &set(claims(), "pad", json!("x".repeat(8 * 1024))));
    check(
        &mut dev(),
        &[
            (String::new(), "Bearer"),
            ("x".to_owned(), "not a signed JWT"),
            ("a.b".to_owned(), "not a signed JWT"),
            ("a.b.c.d".to_owned(), "not a signed JWT"),
            ("....".to_owned(), "not a signed JWT"),
            (padded(".x"), "not a signed JWT"),
            (padded("="), "signature"),
            (padded(" x"), "signature"),
            (good.replacen('.', "=.", 1), "not a signed JWT"),
            (good.replacen('e', "+", 1), "not a signed JWT"),
            (long, "longer than 8 KiB"),
        ],
    );
    for (value, accepted) in [
        (Some(format!("Bearer {good}")), true),
        (Some(format!("bEaReR   {good} ")), true),
        (Some(format!("Bearer{good}")), false),
        (Some(format!("Basic {good}")), false),
        (Some(good.clone()), false),
        (Some(String::new()), false),
        (None, false),
    ] {
        let outcome = dev().authenticate(value.as_deref().map(str::as_bytes), NOW);
        assert_eq!(outcome.is_ok(), accepted, "{value:?}");
    }
    assert!(dev().authenticate(Some(b"Bearer \xff\xfe"), NOW).is_err());
}

#[test]
fn a_token_that_was_seen_is_refused_once_it_has_expired() {
    let mut authenticator = dev();
    let (alice, bob) = (token(&header(), &claims()), token(&header(), &set(claims(), "sub", json!("bob"))));
    for _ in 0..2 {
        assert_eq!(ask(&mut authenticator, &alice, NOW), Ok("alice".into()));
        assert_eq!(ask(&mut authenticator, &bob, NOW), Ok("bob".into()));
    }
    assert_eq!(ask(&mut authenticator, &alice, NOW.after_micros(59_999_999)), Ok("alice".into()));
    for _ in 0..2 {
        let late = ask(&mut authenticator, &alice, NOW.after_micros(60_000_000));
        assert!(late.expect_err("late").contains("expired"));
    }
}

#[test]
fn scopes_are_those_of_the_token_and_admin_has_all() {
    let mut authenticator = dev();
    let mut scopes = |text: &str| {
        let token = token(&header(), &set(claims(), "scope", json!(text)));
        let principal = authenticator.authenticate(Some(format!("Bearer {token}").as_bytes()), NOW).expect("good");
        Scope::ALL.map(|scope| principal.has(scope))
    };
    assert_eq!(scopes(""), [false; 5]);
    assert_eq!(scopes("orders:read unknown ORDERS:WRITE"), [false, true, false, false, false]);
    assert_eq!(scopes("orders:write catalog:write"), [true, false, false, true, false]);
    assert_eq!(scopes("inventory:write"), [false, false, true, false, false]);
    assert_eq!(scopes("admin"), [true; 5]);
    let anonymous = Authenticator::off().authenticate(None, NOW).expect("everybody");
    assert_eq!((&*anonymous.subject, anonymous.has(Scope::CatalogWrite)), ("anonymous", true));
}

#[test]
fn a_new_development_key_signs_what_it_verifies() {
    let jwk = dev_key_generate().expect("random bytes");
    assert_ne!(jwk, dev_key_generate().expect("random bytes"));
    let mut authenticator = Authenticator::new(Arc::new(Keys::dev(&jwk).expect("a key")));
    let token = sign(&jwk, "alice", &[Scope::Admin], Duration::from_secs(1), NOW).expect("a token");
    assert_eq!(ask(&mut authenticator, &token, NOW), Ok("alice".into()));
    assert!(ask(&mut authenticator, &token, NOW.after_micros(1_000_000)).is_err());
    assert!(ask(&mut dev(), &token, NOW).is_err(), "another key");
    assert!(sign(&jwk, "", &[], Duration::from_secs(1), NOW).is_err());
    for bad in ["", "{}", r#"{"kty":"oct","alg":"HS256","kid":"x","k":"AAAA"}"#, r#"{"kty":"RSA"}"#] {
        assert!(Keys::dev(bad.as_bytes()).is_err(), "{bad}");
    }
}

fn private(name: &str) -> Vec<u8> {
    let keys: Value = serde_json::from_str(PRIVATE).expect("JSON");
    URL_SAFE_NO_PAD.decode(keys[name].as_str().expect("text")).expect("base64url")
}

fn public_claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "orders", "sub": "alice", "exp": SECONDS + 60})
}

#[test]
fn public_keys_verify_their_own_algorithm_only() {
    let rsa = EncodingKey::from_rsa_der(&private("rsa"));
    let head = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let sign = |key: &EncodingKey, algorithm, header: Value| signed_by(key, algorithm, &header, &public_claims());
    let ec = EncodingKey::from_ec_der(&private("ec"));
    let ed = EncodingKey::from_ed_der(&private("ed"));
    let document: Value = serde_json::from_str(JWKS).expect("JSON");
    let modulus = document["keys"][0]["n"].as_str().expect("text");
    let confused = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(modulus).expect("base64url"));
    let late = json!({"iss": "https://issuer.example", "aud": "orders", "sub": "alice", "exp": SECONDS - 29});
    let too_late = json!({"iss": "https://issuer.example", "aud": "orders", "sub": "alice", "exp": SECONDS - 30});
    check(
        &mut jwks(),
        &[
            (sign(&rsa, Algorithm::RS256, head("RS256", "rsa")), ""),
            (sign(&ec, Algorithm::ES256, head("ES256", "ec")), ""),
            (sign(&ed, Algorithm::EdDSA, head("EdDSA", "ed")), ""),
            (sign(&rsa, Algorithm::RS512, head("RS512", "rsa")), "algorithm"),
            (sign(&rsa, Algorithm::PS256, head("PS256", "rsa")), "algorithm"),
            (sign(&confused, Algorithm::HS256, head("HS256", "rsa")), "algorithm"),
            (sign(&confused, Algorithm::HS256, head("RS256", "rsa")), "signature"),
            (sign(&rsa, Algorithm::RS256, head("RS256", "ec")), "algorithm"),
            (sign(&ec, Algorithm::ES256, head("EdDSA", "ed")), "signature"),
            (sign(&rsa, Algorithm::RS256, head("RS256", "gone")), "unknown key"),
            (sign(&rsa, Algorithm::RS256, json!({"alg": "RS256"})), "unknown key"),
            (signed_by(&rsa, Algorithm::RS256, &head("RS256", "rsa"), &claims()), "`iss`"),
            (signed_by(&rsa, Algorithm::RS256, &head("RS256", "rsa"), &late), ""),
            (signed_by(&rsa, Algorithm::RS256, &head("RS256", "rsa"), &too_late), "expired"),
        ],
    );
}

#[test]
fn key_documents_are_checked() {
    let document: Value = serde_json::from_str(JWKS).expect("JSON");
    let keys = |keys: Vec<Value>| Keys::jwks(json!({ "keys": keys }).to_string().as_bytes(), "i", "a");
    let rsa = document["keys"][0].clone();
    let ed = document["keys"][2].clone();
    assert!(keys(vec![]).is_err());
    assert!(keys(vec![rsa.clone(), rsa.clone()]).is_err(), "a kid twice");
    assert!(keys(vec![rsa.clone(), without(ed.clone(), "kid")]).is_err(), "no kid beside another");
    assert!(keys(vec![without(ed.clone(), "kid")]).expect("one").find(None).is_some());
    assert!(keys(vec![rsa.clone(), ed.clone()]).expect("two").find(None).is_none());
    assert!(keys(vec![json!({"kty": "oct", "kid": "x", "k": "AAAA"}), rsa.clone()]).is_err(), "a public secret");
    let unknown = json!({"kty": "future", "kid": "f"});
    let encryption = set(rsa.clone(), "use", json!("enc"));
    let mixed = keys(vec![unknown, encryption, ed.clone()]).expect("one is usable");
    assert!(mixed.find(Some("ed")).is_some() && mixed.find(Some("rsa")).is_none());
    assert!(keys(vec![set(ed, "alg", json!("RS256"))]).is_err(), "the algorithm is not one of its type");
    assert!(Keys::jwks(b"[]", "i", "a").is_err());
}
