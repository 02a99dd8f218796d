//! PostgreSQL over TLS: who the server is must be proven where the address asks for it, and whatever
//! stands in the way is told in words.

use std::{path::Path, process::Command};

use hakken_adapters::postgres::{OpenError, PostgresStore};
use hakken_commands::store::EventStore;
use hakken_domain::envelope::Position;
use hakken_tests::{
    postgres::Postgres,
    stores::{append, at, stream, written},
};
use sqlx::Connection as _;

/// Makes `NAME.pem` and `NAME.key` in a folder: an authority, or a server's certificate that one
/// signed.
fn certificate(dir: &Path, name: &str, subject: &str, signed_by: Option<&str>) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    openssl.args(["-subj", &format!("/CN={subject}")]);
    if let Some(authority) = signed_by {
        openssl.args(["-CA", &format!("{authority}.pem"), "-CAkey", &format!("{authority}.key")]);
        openssl.args(["-addext", &format!("subjectAltName=DNS:{subject}")]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    }
    let made = openssl.output().expect("openssl runs");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI must have openssl");
    if !found {
        eprintln!("skipped: no openssl here. To run it: apt-get install openssl");
    }
    found
}

async fn refusal(url: &str) -> String {
    match PostgresStore::open(url).await.map(drop) {
        Err(error @ OpenError::Insecure { .. }) => error.to_string(),
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_proves_who_it_is_where_the_address_asks_for_it() {
    let Some(mut server) = Postgres::own(false) else { return };
    if !has_openssl() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    certificate(dir, "authority", "Hakken test authority", None);
    certificate(dir, "stranger", "Another authority", None);
    certificate(dir, "server", "localhost", Some("authority"));
    let file = |name: &str| dir.join(name).display().to_string();
    let (authority, stranger) = (file("authority.pem"), file("stranger.pem"));
    let named = |host: &str, port: u16, name: &str, options: &str| {
        format!("postgres://hakken@{host}:{port}/{name}?{options}")
    };

    let plain = server.database().await.name;
    let port = server.port();
    let words = refusal(&named("localhost", port, &plain, "sslmode=require")).await;
    assert!(words.contains("Turn `ssl` on at the server"), "{words}");
    PostgresStore::open(&named("localhost", port, &plain, "sslmode=prefer")).await.unwrap();

    server.secure(&dir.join("server.pem"), &dir.join("server.key"));
    let database = server.database().await.name;
    let at_host = |host, options: &str| named(host, port, &database, options);
    let proven = at_host("localhost", &format!("sslmode=verify-full&sslrootcert={authority}"));
    let store = PostgresStore::open(&proven).await.unwrap();
    let answer = store.append(vec![append(stream(1), 0, ["a"])], at(0)).await.unwrap();
    assert_eq!(written(&answer[0])[0].position, Position(1));
    let many = EventStore::read_all(&store, Position(0), 5_000).await.unwrap();
    assert_eq!(many.len(), 1);
    let mut connection = sqlx::PgConnection::connect(&proven).await.unwrap();
    let secured = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl
        JOIN pg_stat_activity USING (pid) WHERE datname = current_database()";
    let (secured, all): (i64, i64) =
        sqlx::query_as(secured).fetch_one(&mut connection).await.unwrap();
    assert!(secured == all && all >= 3, "{secured} of {all} connections are over TLS");

    let wrong = at_host("localhost", &format!("sslmode=verify-full&sslrootcert={stranger}"));
    let words = refusal(&wrong).await;
    assert!(words.contains("nobody who is trusted here"), "{words}");
    let elsewhere = at_host("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={authority}"));
    let words = refusal(&elsewhere).await;
    assert!(words.contains("is for another host"), "{words}");
    let unnamed = at_host("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={authority}"));
    PostgresStore::open(&unnamed).await.expect("the authority is right, and no more was asked");
    let missing = at_host("localhost", "sslmode=verify-full&sslrootcert=/no/such/file.pem");
    let words = refusal(&missing).await;
    assert!(words.contains("sslrootcert") && words.contains("/no/such/file.pem"), "{words}");
}
