//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, without channel binding.
//!
//! ```text
//! client ─ n,,n=,r=<nonce> ──────────▶   server ─ r=<nonce><more>,s=<salt>,i=<rounds> ─▶ client
//! client ─ c=biws,r=<nonces>,p=<proof> ▶ server ─ v=<signature> ──────────────────────▶ client
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use luma_model::{Error, ErrorKind, Result};
use luma_query::ScramVerifier;

use crate::authentication::same;
use luma_query::password::{ITERATIONS, SALT_BYTES, hmac_sha256, sha256};

/// The mechanism's name.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// What a client is checked against.
pub(crate) struct Verification {
    verifier: ScramVerifier,
    /// Whether the role exists; if not, the exchange goes on but always fails.
    real: bool,
}

/// An exchange that waits for the proof.
pub(crate) struct Exchange {
    verification: Verification,
    /// `c=` as the client must repeat it: base64 of its header.
    binding: String,
    nonce: String,
    /// The first two messages, as both sides sign them.
    transcript: String,
    /// What to send.
    pub(crate) challenge: String,
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::ProtocolViolation, "malformed SCRAM message").detail(what)
}

impl Verification {
    pub(crate) fn of(verifier: ScramVerifier) -> Self {
        Self { verifier, real: true }
    }

    /// For a name of no role: the same salt each time, from the server's secret.
    pub(crate) fn mock(name: &str, secret: &[u8]) -> Self {
        let mut salt = hmac_sha256(secret, name.as_bytes()).unwrap_or_default().to_vec();
        salt.truncate(SALT_BYTES);
        let verifier =
            ScramVerifier { iterations: ITERATIONS, salt, stored_key: vec![0; 32], server_key: vec![0; 32] };
        Self { verifier, real: false }
    }

    /// Takes the client's first message.
    ///
    /// # Errors
    /// 08P01 when it is not well formed.
    pub(crate) fn begin(self, message: &str, server_nonce: &str) -> Result<Exchange> {
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(identity), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("The first message has no header."));
        };
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => {
                return Err(malformed("The client selected channel binding, which was not offered."));
            }
            _ => return Err(malformed("The channel binding flag is not known.")),
        }
        if !identity.is_empty() {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "client uses authorization identity, but it is not supported",
            ));
        }
        if bare.starts_with("m=") {
            return Err(Error::new(
                ErrorKind::FeatureNotSupported,
                "client requires an unsupported SCRAM extension",
            ));
        }
        let client_nonce = bare
            .split(',')
            .find_map(|part| part.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| malformed("The first message has no nonce."))?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let salt = BASE64.encode(&self.verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        Ok(Exchange {
            binding: BASE64.encode(format!("{flag},{identity},")),
            transcript: format!("{bare},{challenge}"),
            verification: self,
            nonce,
            challenge,
        })
    }
}

impl Exchange {
    /// Takes the proof: the server's signature, or `None` if the password was wrong.
    ///
    /// # Errors
    /// 08P01 when it is not well formed.
    pub(crate) fn finish(self, message: &str) -> Result<Option<String>> {
        let (unsigned, proof) =
            message.rsplit_once(",p=").ok_or_else(|| malformed("The last message has no proof."))?;
        let proof = BASE64.decode(proof).map_err(|_| malformed("The proof is not base64."))?;
        let mut parts = unsigned.split(',');
        if parts.next().and_then(|part| part.strip_prefix("c=")) != Some(&*self.binding) {
            return Err(malformed("The channel binding changed."));
        }
        if parts.next().and_then(|part| part.strip_prefix("r=")) != Some(&*self.nonce) {
            return Err(malformed("The nonce changed."));
        }
        let verifier = &self.verification.verifier;
        let signed = format!("{},{unsigned}", self.transcript);
        let signature = hmac_sha256(&verifier.stored_key, signed.as_bytes())?;
        if proof.len() != signature.len() {
            return Err(malformed("The proof has a wrong length."));
        }
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, sign)| proof ^ sign).collect();
        let right = same(&sha256(&client_key), &verifier.stored_key) & self.verification.real;
        let answer = hmac_sha256(&verifier.server_key, signed.as_bytes())?;
        Ok(right.then(|| format!("v={}", BASE64.encode(answer))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use luma_query::password;

    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    /// The verifier of "pencil" in RFC 7677, section 3.
    fn exchange() -> Exchange {
        let verifier = ScramVerifier {
            iterations: 4096,
            salt: BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            stored_key: BASE64.decode("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=").unwrap(),
            server_key: BASE64.decode("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=").unwrap(),
        };
        let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        Verification::of(verifier).begin(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap()
    }

    #[test]
    fn the_exchange_is_that_of_rfc_7677() {
        let exchange = exchange();
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(exchange.challenge, challenge);
        let answer = exchange.finish(PROOF).unwrap();
        assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_wrong_proof_is_refused_and_a_malformed_one_is_an_error() {
        let wrong = PROOF.replace("p=dH", "p=eH");
        assert_eq!(exchange().finish(&wrong).unwrap(), None);
        for message in ["", "c=biws", "c=biws,r=x,p=AAAA", &PROOF.replace("biws", "eSws"), &PROOF[..90]] {
            assert!(exchange().finish(message).is_err(), "{message}");
        }
        let verifier = password::verifier("x").unwrap().unwrap().scram.unwrap();
        for message in ["", "n", "n,,", "n,,r=", "p=tls-unique,,n=,r=a", "n,a=b,n=,r=a", "n,,m=x,r=a"] {
            assert!(Verification::of(verifier.clone()).begin(message, "s").is_err(), "{message}");
        }
    }

    #[test]
    fn a_name_of_no_role_gets_the_same_salt_each_time() {
        let challenge = |name: &str, secret: &[u8]| {
            Verification::mock(name, secret).begin("n,,n=,r=a", "b").unwrap().challenge
        };
        assert_eq!(challenge("nobody", b"1"), challenge("nobody", b"1"));
        assert_ne!(challenge("nobody", b"1"), challenge("other", b"1"));
        assert_ne!(challenge("nobody", b"1"), challenge("nobody", b"2"));
    }
}
