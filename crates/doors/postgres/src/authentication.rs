//! Proving who a client is: SCRAM-SHA-256, or md5 for a role that has nothing else.
//!
//! A role that does not exist, may not log in or has no password is asked and refused exactly as
//! one whose password is wrong, so that names can't be found out by trying.

pub(crate) mod scram;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use luma_model::{Error, ErrorKind, Result};
use luma_query::Role;
use md5::{Digest, Md5};
use rand::TryRngCore;
use rand::rngs::OsRng;

/// The server's secret of this run, from which the salts of roles that do not exist are made.
#[derive(Debug)]
pub(crate) struct MockSecret([u8; 32]);

impl MockSecret {
    pub(crate) fn new() -> Result<Self> {
        random().map(Self)
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::internal(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// A random text without the comma that SCRAM uses.
pub(crate) fn nonce() -> Result<String> {
    Ok(BASE64.encode(random::<18>()?))
}

/// What a role is asked for.
pub(crate) enum Demand {
    Scram(scram::Verification),
    Md5 { salt: [u8; 4], expected: String },
}

impl Demand {
    /// Chooses for a role, or for the name of none.
    pub(crate) fn of(role: Option<&Role>, name: &str, secret: &MockSecret) -> Result<Self> {
        let verifier = role.filter(|role| role.can_login).and_then(|role| role.password.as_ref());
        match verifier {
            Some(luma_query::Verifier { scram: Some(scram), .. }) => {
                Ok(Self::Scram(scram::Verification::of(scram.clone())))
            }
            Some(luma_query::Verifier { md5: Some(md5), .. }) => {
                let salt = random()?;
                Ok(Self::Md5 { salt, expected: md5_answer(md5, salt) })
            }
            _ => Ok(Self::Scram(scram::Verification::mock(name, &secret.0))),
        }
    }
}

/// What a client answers to an md5 demand: the digest of the stored digest and the salt.
fn md5_answer(stored: &str, salt: [u8; 4]) -> String {
    let inner = stored.strip_prefix("md5").unwrap_or(stored);
    let mut bytes = inner.as_bytes().to_vec();
    bytes.extend_from_slice(&salt);
    Md5::digest(&bytes).iter().fold("md5".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares without telling by its time where the difference is.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

/// The one refusal there is.
pub(crate) fn refused(user: &str) -> Error {
    Error::new(ErrorKind::InvalidPassword, format!("password authentication failed for user \"{user}\""))
}
