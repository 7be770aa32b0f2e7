//! What is kept of a password, and its written form.
//!
//! A password given in clear becomes a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677). A client that
//! has made the verifier itself, as psql's `\password` does, sends it in PostgreSQL's written form:
//! `SCRAM-SHA-256$rounds:salt$stored key:server key`, or `md5` and 32 hexadecimal digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use luma_model::{Error, Result};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

use crate::{ScramVerifier, Verifier};

/// PBKDF2 rounds, as PostgreSQL.
pub const ITERATIONS: u32 = 4096;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Rounds past which a verifier is refused: clients would compute for minutes.
const ITERATIONS_MAX: u32 = 10_000_000;

/// The verifier of a password, or the one that is written in its place. An empty password is none.
///
/// # Errors
/// When the system gives no random bytes.
pub fn verifier(password: &str) -> Result<Option<Verifier>> {
    if password.is_empty() {
        return Ok(None);
    }
    match written_scram(password) {
        Some(scram) => return Ok(Some(Verifier { scram: Some(scram), md5: None })),
        None if is_written_md5(password) => {
            return Ok(Some(Verifier { scram: None, md5: Some(password.to_owned()) }));
        }
        None => {}
    }
    let mut salt = [0; SALT_BYTES];
    OsRng
        .try_fill_bytes(&mut salt)
        .map_err(|error| Error::internal(format!("the system gives no random bytes: {error}")))?;
    let salted = salted_password(password, &salt, ITERATIONS)?;
    let scram = ScramVerifier {
        iterations: ITERATIONS,
        salt: salt.to_vec(),
        stored_key: sha256(&hmac_sha256(&salted, b"Client Key")?).to_vec(),
        server_key: hmac_sha256(&salted, b"Server Key")?.to_vec(),
    };
    Ok(Some(Verifier { scram: Some(scram), md5: None }))
}

/// Whether a password in clear is the one that a verifier was made of. It is not if the verifier is one of
/// md5 only. Costs milliseconds.
pub fn is_password(verifier: &Verifier, password: &str) -> bool {
    let Some(scram) = &verifier.scram else { return false };
    let stored = salted_password(password, &scram.salt, scram.iterations)
        .and_then(|salted| hmac_sha256(&salted, b"Client Key"))
        .map(|client_key| sha256(&client_key));
    // Every byte is looked at, so that the time says nothing.
    stored.is_ok_and(|stored| {
        let differing = stored.iter().zip(&scram.stored_key).fold(0, |differing, (a, b)| differing | (a ^ b));
        differing == 0 && scram.stored_key.len() == stored.len()
    })
}

fn written_scram(text: &str) -> Option<ScramVerifier> {
    let (rounds_and_salt, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = rounds_and_salt.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let key = |text: &str| BASE64.decode(text).ok().filter(|key| key.len() == 32);
    Some(ScramVerifier {
        iterations: iterations.parse().ok().filter(|rounds| (1..=ITERATIONS_MAX).contains(rounds))?,
        salt: BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

fn is_written_md5(text: &str) -> bool {
    text.strip_prefix("md5")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// PBKDF2 with HMAC-SHA-256, one block.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Result<[u8; 32]> {
    let keyed = keyed(password.as_bytes())?;
    let mut first = keyed.clone();
    first.update(salt);
    first.update(&1u32.to_be_bytes());
    let mut round: [u8; 32] = first.finalize().into_bytes().into();
    let mut sum = round;
    for _ in 1..iterations {
        let mut next = keyed.clone();
        next.update(&round);
        round = next.finalize().into_bytes().into();
        for (sum, byte) in sum.iter_mut().zip(round) {
            *sum ^= byte;
        }
    }
    Ok(sum)
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>> {
    Hmac::<Sha256>::new_from_slice(key).map_err(|error| Error::internal(error.to_string()))
}

/// HMAC-SHA-256.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = keyed(key)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

/// SHA-256.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_the_password_it_was_made_of() {
        let made = verifier("open sesame").unwrap().unwrap();
        assert!(is_password(&made, "open sesame"));
        assert!(!is_password(&made, "open sesam"));
        assert!(!is_password(&Verifier { scram: None, md5: None }, ""));
    }

    #[test]
    fn keys_are_those_of_rfc_7677() {
        // The exchange of RFC 7677, section 3.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password("pencil", &salt, 4096).unwrap();
        let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_key = hmac_sha256(&salted, b"Server Key").unwrap();
        let signature = hmac_sha256(&server_key, message).unwrap();
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_same_password_gives_another_verifier_each_time() {
        assert_ne!(verifier("a").unwrap(), verifier("a").unwrap());
    }

    #[test]
    fn a_verifier_that_a_client_made_is_kept_as_it_is() {
        let written = format!(
            "SCRAM-SHA-256$4096:{}${}:{}",
            BASE64.encode([7; 16]),
            BASE64.encode([1; 32]),
            BASE64.encode([2; 32])
        );
        let scram = verifier(&written).unwrap().unwrap().scram.unwrap();
        assert_eq!((scram.iterations, scram.salt, scram.stored_key), (4096, vec![7; 16], vec![1; 32]));
        let md5 = "md50123456789abcdef0123456789ABCDEF";
        assert_eq!(verifier(md5).unwrap().unwrap().md5.as_deref(), Some(md5));
    }

    #[test]
    fn what_only_looks_like_a_verifier_is_a_password() {
        for text in
            ["SCRAM-SHA-256$4096:c2FsdA==$short:c2hvcnQ=", "SCRAM-SHA-256$0:c2FsdA==$a:b", "md5", "md5x"]
        {
            let made = verifier(text).unwrap().unwrap();
            assert_eq!(made.scram.map(|scram| scram.iterations), Some(ITERATIONS), "{text}");
        }
        assert_eq!(verifier("").unwrap(), None);
    }
}
