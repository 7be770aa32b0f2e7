//! The first packet of a connection.

use luma_model::{Error, ErrorKind, Result};

use crate::message::field::Fields;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: u32 = 80_877_104;

/// What a first packet asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Encryption by TLS or by another way; after a refusal with `N` another packet follows.
    Encryption { tls: bool },
    /// To end what another connection runs.
    Cancel { process: i32, secret: i32 },
    /// A session.
    Startup(Startup),
}

/// A client that wants a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Startup {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: String,
    /// Settings to start with.
    pub(crate) parameters: Vec<(String, String)>,
    /// Options of the protocol that are not known here.
    pub(crate) unknown_options: Vec<String>,
    /// Whether a newer protocol than 3.0 was asked for.
    pub(crate) newer: bool,
}

/// Reads a first packet.
///
/// # Errors
/// 08P01, 0A000 or 28000: the connection can't go on.
pub(crate) fn read(code: u32, body: &[u8]) -> Result<Packet> {
    let mut fields = Fields(body);
    match code {
        CANCEL_REQUEST => {
            let (process, secret) = (fields.i32()?, fields.i32()?);
            fields.end()?;
            Ok(Packet::Cancel { process, secret })
        }
        SSL_REQUEST | GSS_ENCRYPTION_REQUEST => {
            fields.end()?;
            Ok(Packet::Encryption { tls: code == SSL_REQUEST })
        }
        code if code >> 16 == 3 => startup(fields, code & 0xffff > 0).map(Packet::Startup),
        code => Err(Error::new(
            ErrorKind::FeatureNotSupported,
            format!("unsupported frontend protocol {}.{}: server supports 3.0", code >> 16, code & 0xffff),
        )),
    }
}

fn startup(mut fields: Fields<'_>, newer: bool) -> Result<Startup> {
    let mut startup = Startup { newer, ..Startup::default() };
    loop {
        let name = fields.text()?;
        if name.is_empty() {
            break;
        }
        let value = fields.text()?;
        match name {
            "user" => startup.user = value.to_owned(),
            "database" => startup.database = value.to_owned(),
            "application_name" => startup.application_name = value.to_owned(),
            "options" => options(value, &mut startup.parameters)?,
            "replication" if matches!(value, "false" | "off" | "no" | "0") => {}
            "replication" => {
                let message = "replication connections are not supported";
                return Err(Error::new(ErrorKind::FeatureNotSupported, message));
            }
            name if name.starts_with("_pq_.") => startup.unknown_options.push(name.to_owned()),
            name => startup.parameters.push((name.to_owned(), value.to_owned())),
        }
    }
    fields.end()?;
    if startup.user.is_empty() {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(Error::new(ErrorKind::InvalidAuthorization, message));
    }
    Ok(startup)
}

/// Reads `-c name=value`, `-cname=value` and `--name=value`; a backslash keeps a space.
fn options(text: &str, parameters: &mut Vec<(String, String)>) -> Result<()> {
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting.to_owned(),
            (None, Some("")) => words.next().unwrap_or_default(),
            (None, Some(setting)) => setting.to_owned(),
            (None, None) => return Err(invalid_option(&word)),
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| invalid_option(&setting))?;
        parameters.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(())
}

fn invalid_option(word: &str) -> Error {
    Error::new(ErrorKind::Syntax, format!("invalid command-line argument for server process: {word}"))
        .hint("Write -c name=value.")
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (character, _) if character.is_whitespace() => words.push(String::new()),
            (character, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VERSION_3: u32 = 3 << 16;

    fn started(code: u32, body: &[u8]) -> Startup {
        match read(code, body).unwrap() {
            Packet::Startup(startup) => startup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_come_as_parameters_and_as_options() {
        let body = b"user\0u\0database\0d\0TimeZone\0Europe/Berlin\0\
            options\0-c a=b\\ c --statement-timeout=5 -cx.y=\0\0";
        let startup = started(VERSION_3, body);
        assert_eq!((startup.user.as_str(), startup.database.as_str()), ("u", "d"));
        let expected = [("TimeZone", "Europe/Berlin"), ("a", "b c"), ("statement_timeout", "5"), ("x.y", "")];
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(startup.parameters, expected);
        assert!(!startup.newer);
    }

    #[test]
    fn a_newer_protocol_and_unknown_options_are_noticed() {
        let startup = started(VERSION_3 + 2, b"user\0u\0_pq_.zip\0on\0\0");
        assert!(startup.newer);
        assert_eq!(startup.unknown_options, ["_pq_.zip"]);
    }

    #[test]
    fn packets_that_make_no_sense_are_refused() {
        for (code, body) in [
            (VERSION_3, &b""[..]),
            (VERSION_3, b"user\0u"),
            (VERSION_3, b"\0"),
            (VERSION_3, b"user\0u\0\0!"),
            (VERSION_3, b"user\0u\0options\0-x\0\0"),
            (VERSION_3, b"user\0u\0replication\0database\0\0"),
            (2 << 16, b"user\0u\0\0"),
            (CANCEL_REQUEST, b"\0\0\0\x01"),
            (SSL_REQUEST, b"!"),
        ] {
            assert!(read(code, body).is_err(), "{code} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_makes_the_reader_panic(code in any::<u32>(), body in proptest::collection::vec(any::<u8>(), 0..99)) {
            let _ = read(code, &body);
            let _ = read(VERSION_3, &body);
        }
    }
}
