//! What is kept of a password.

use hmac::{Hmac, Mac};
use luma_model::{Error, Result};
use luma_query::{ScramVerifier, Verifier};
use md5::Md5;
use sha2::{Digest, Sha256};

/// PBKDF2 rounds, as PostgreSQL.
pub(crate) const ITERATIONS: u32 = 4096;
/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;

/// Makes the verifier of a password; the password can't be found from it but by trying.
///
/// # Errors
/// When the system gives no random bytes.
pub fn password_verifier(password: &str) -> Result<Verifier> {
    let salt = super::random::<SALT_BYTES>()?;
    let salted = salted_password(password, &salt, ITERATIONS)?;
    Ok(Verifier {
        scram: Some(ScramVerifier {
            iterations: ITERATIONS,
            salt: salt.to_vec(),
            stored_key: sha256(&hmac(&salted, b"Client Key")?).to_vec(),
            server_key: hmac(&salted, b"Server Key")?.to_vec(),
        }),
        md5: None,
    })
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
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = keyed(key)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

/// SHA-256.
pub(crate) fn sha256(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// MD5 in lower-case hexadecimal digits.
pub(crate) fn md5_hex(message: &[u8]) -> String {
    use std::fmt::Write;
    Md5::digest(message).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    #[test]
    fn keys_are_those_of_rfc_7677() {
        // The exchange of RFC 7677, section 3.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password("pencil", &salt, 4096).unwrap();
        let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_key = hmac(&salted, b"Server Key").unwrap();
        let signature = hmac(&server_key, message).unwrap();
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_same_password_gives_another_verifier_each_time() {
        assert_ne!(password_verifier("a").unwrap(), password_verifier("a").unwrap());
    }
}
