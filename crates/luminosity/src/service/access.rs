//! Who may change something.

use axum::http::{HeaderMap, StatusCode, header};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{Refusal, Shared};

/// Seconds that a signed time may be off.
const CLOCK_SECONDS: i64 = 300;

/// Whether who sent these headers may write.
pub(super) fn writer(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = shared.config.server.token.as_deref() else {
        if shared.open {
            return Ok(());
        }
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "changes need a token, and none is configured: set server.token or LUX_TOKEN",
        ));
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given =
        given.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    match given {
        Some((_, given)) if same(given.trim().as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "the header must be: Authorization: Bearer <token>")),
    }
}

/// Compares without telling by its time where texts differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Hmac<Sha256>, &'static str> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).map_err(|_| "the secret is no key")?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac)
}

/// Whether a webhook was signed with the secret. The signature is `sha256=` and the HMAC-SHA256 in hex: of
/// the body, or, when `x-luminosity-timestamp` is there, of it, a dot and the body, which can't be replayed
/// later.
pub(super) fn webhook(shared: &Shared, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Refusal> {
    let Some(secret) = shared.config.server.webhook_secret.as_deref() else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "webhooks need a secret, and none is configured: set server.webhookSecret or LUX_WEBHOOK_SECRET",
        ));
    };
    signed(secret, headers, body, now).map_err(|reason| Refusal::new(StatusCode::UNAUTHORIZED, reason))
}

fn signed(secret: &str, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = text("x-luminosity-signature").or_else(|| text("x-hub-signature-256"));
    let signature = signature.and_then(|value| value.strip_prefix("sha256=")).and_then(from_hex);
    let signature =
        signature.ok_or("the header x-luminosity-signature must be sha256=<HMAC-SHA256 in hex>")?;
    let mac = match text("x-luminosity-timestamp") {
        None => hmac(secret.as_bytes(), &[body])?,
        Some(time) => {
            let seconds: i64 =
                time.parse().map_err(|_| "x-luminosity-timestamp must be seconds since 1970")?;
            if seconds.abs_diff(now) > CLOCK_SECONDS as u64 {
                return Err("the timestamp is more than five minutes off");
            }
            hmac(secret.as_bytes(), &[time.as_bytes(), b".", body])?
        }
    };
    mac.verify_slice(&signature).map_err(|_| "the signature does not fit the body")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 4231, test case 2.
    const KNOWN: &str = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BODY: &[u8] = b"what do ya want for nothing?";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_what_was_signed_is_taken() {
        assert!(signed("Jefe", &headers(&[("x-luminosity-signature", KNOWN)]), BODY, 0).is_ok());
        assert!(signed("Jefe", &headers(&[("x-hub-signature-256", KNOWN)]), BODY, 0).is_ok());
        assert!(signed("jefe", &headers(&[("x-luminosity-signature", KNOWN)]), BODY, 0).is_err());
        assert!(signed("Jefe", &headers(&[("x-luminosity-signature", KNOWN)]), b"other", 0).is_err());
        assert!(signed("Jefe", &headers(&[]), BODY, 0).is_err());
        for bad in ["sha256=", "sha256=zz", "sha1=5bdc", &KNOWN[..70], &format!("sha256={}", "é".repeat(32))]
        {
            let value = axum::http::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            let map = HeaderMap::from_iter([("x-luminosity-signature".parse().unwrap(), value)]);
            assert!(signed("Jefe", &map, BODY, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signed_time_is_part_of_the_signature_and_expires() {
        let mac = hmac(b"s", &[b"1000", b".", BODY]).unwrap().finalize().into_bytes();
        let hex = mac.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let signature = format!("sha256={hex}");
        let given =
            |time: &str| headers(&[("x-luminosity-signature", &signature), ("x-luminosity-timestamp", time)]);
        assert!(signed("s", &given("1000"), BODY, 1299).is_ok());
        assert!(signed("s", &given("1000"), BODY, 1301).is_err());
        assert!(signed("s", &given("1001"), BODY, 1001).is_err());
        assert!(signed("s", &headers(&[("x-luminosity-signature", &signature)]), BODY, 1000).is_err());
    }
}
