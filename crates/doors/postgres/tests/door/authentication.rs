use std::time::Duration;

use luma_door_postgres::DoorOptions;
use luma_query::Verifier;
use luma_query::password;
use tokio_postgres::NoTls;

use crate::raw::Raw;
use crate::server::Server;

async fn locked() -> Server {
    let server = Server::with(DoorOptions::default()).await;
    server.database.put_role("lumadb", true, password::verifier("sécret").unwrap()).unwrap();
    server
}

#[tokio::test]
async fn the_right_password_is_let_in_and_a_wrong_one_refused() {
    let server = locked().await;
    let mut config = server.config();
    let (client, connection) = config.password("sécret").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0).to_string(), "1");
    for (user, password) in [("lumadb", "secret"), ("nobody", "sécret"), ("lumadb", "")] {
        let failed = server.config().user(user).password(password).connect(NoTls).await;
        let error = failed.err().unwrap();
        let code =
            error.as_db_error().map(|error| (error.code().code().to_owned(), error.severity().to_owned()));
        assert_eq!(code, Some(("28P01".into(), "FATAL".into())), "{user}: {error}");
    }
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_asked_as_one_that_does() {
    let server = locked().await;
    for user in ["lumadb", "nobody"] {
        let mut raw = Raw::silent(&server).await;
        raw.startup(3 << 16, format!("user\0{user}\0\0").as_bytes()).await;
        let (tag, body) = raw.message().await.unwrap();
        assert_eq!((tag, &body[4..]), (b'R', &b"SCRAM-SHA-256\0\0"[..]), "{user}");
    }
}

#[tokio::test]
async fn a_role_with_only_an_md5_verifier_is_asked_for_md5() {
    let server = locked().await;
    // md5 of "pw" and the name.
    let verifier = Verifier { scram: None, md5: Some(md5_of("pw", "old")) };
    server.database.put_role("old", false, Some(verifier)).unwrap();
    assert!(server.config().user("old").password("pw").connect(NoTls).await.is_ok());
    assert!(server.config().user("old").password("wp").connect(NoTls).await.is_err());
}

fn md5_of(password: &str, name: &str) -> String {
    use md5::Digest;
    let digest = md5::Md5::digest(format!("{password}{name}"));
    digest.iter().fold("md5".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test]
async fn an_open_server_lets_everyone_in() {
    let server = Server::open().await;
    assert!(server.config().user("whoever").password("x").connect(NoTls).await.is_ok());
    let error = server.config().dbname("other").connect(NoTls).await.err().unwrap();
    assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some("3D000"));
}

#[tokio::test]
async fn one_client_too_many_is_told_so_and_the_next_may_come_when_one_left() {
    let server =
        Server::with(DoorOptions { require_auth: false, max_connections: 1, ..DoorOptions::default() }).await;
    let first = server.client().await;
    let error = server.config().connect(NoTls).await.err().unwrap();
    assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some("53300"));
    drop(first);
    server
        .until(|server| server.metrics.active_connections.load(std::sync::atomic::Ordering::Relaxed) == 0)
        .await;
    server.client().await;
}

#[tokio::test]
async fn a_client_that_does_not_say_who_it_is_is_sent_away() {
    let options = DoorOptions { auth_timeout: Duration::from_millis(50), ..DoorOptions::default() };
    let server = Server::with(options).await;
    let mut raw = Raw::silent(&server).await;
    assert_eq!(raw.last_words().await.as_deref(), Some("57014"));
}

#[tokio::test]
async fn encryption_is_refused_and_a_newer_protocol_negotiated_down() {
    let server = Server::open().await;
    let mut raw = Raw::silent(&server).await;
    for code in [80_877_103, 80_877_104] {
        raw.startup(code, b"").await;
        let mut answer = [0];
        tokio::io::AsyncReadExt::read_exact(&mut raw.0, &mut answer).await.unwrap();
        assert_eq!(&answer, b"N");
    }
    raw.startup((3 << 16) + 2, b"user\0lumadb\0database\0lumadb\0_pq_.x\0on\0\0").await;
    let (tag, body) = raw.message().await.unwrap();
    assert_eq!((tag, &body[..]), (b'v', &b"\0\0\0\0\0\0\0\x01_pq_.x\0"[..]));
    assert_eq!(raw.ready().await.last().map(String::as_str), Some("ZI"));
}

#[tokio::test]
async fn startup_parameters_are_settings_and_wrong_ones_are_refused() {
    let server = Server::open().await;
    let mut config = server.config();
    let (client, connection) =
        config.options("-c TimeZone=Europe/Berlin").application_name("it").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client
        .query_one("SELECT current_setting('TimeZone'), current_setting('application_name')", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("Europe/Berlin", "it"));
    let error = server.config().options("-c nothing=1").connect(NoTls).await.err().unwrap();
    assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some("42704"));
}
