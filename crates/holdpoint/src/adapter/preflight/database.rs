//! Whether a PostgreSQL database takes a connection (the runbook's "Supabase production
//! accessible"), encrypted as its address asks (`sslmode`). It runs one question and writes nothing.

use std::str::FromStr as _;
use std::time::Duration;

use holdpoint_core::project::{Database, DatabaseAddress};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::finding::{Finding, Lack};
use super::variables::required;
use crate::variables::Variables;

/// A database that doesn't take a connection in this time counts as out of reach.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How the addresses of PostgreSQL databases begin.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The server's version, whether the connection is encrypted, and whether only reading is allowed.
const QUESTION: &str = "select current_setting('server_version'), \
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false), \
    pg_is_in_recovery()";

pub(super) async fn look(database: &Database, variables: &Variables) -> Finding {
    let (url, from) = match &database.address {
        DatabaseAddress::Url(url) => (url.as_str(), "`url`".to_owned()),
        DatabaseAddress::Variable(name) => (required(variables, name)?, format!("`{name}`")),
    };
    let is_ours = SCHEMES.iter().any(|scheme| url.starts_with(scheme));
    let options = PgConnectOptions::from_str(url).ok().filter(|_| is_ours).ok_or_else(|| {
        // what is wrong with it may be its password, so that nothing of it is told
        Lack::new(
            format!("{from} holds no address of a PostgreSQL database"),
            "write `postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require` into it",
        )
    })?;
    let options = options.application_name("holdpoint pre-flight").disable_statement_logging();
    let place = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    match tokio::time::timeout(TIMEOUT, ask(&options)).await {
        Ok(Ok((version, is_encrypted, is_standby))) => {
            let encrypted = if is_encrypted { "encrypted" } else { "not encrypted" };
            let standby = if is_standby { ", a standby that only reads" } else { "" };
            Ok(format!("{place} answers: PostgreSQL {version}, {encrypted}{standby}"))
        }
        Ok(Err(error)) => {
            Err(Lack::new(format!("{place}: {}", cause(&error)), mend(&error, &from)))
        }
        Err(_elapsed) => Err(Lack::new(
            format!("{place} did not answer within {} s", TIMEOUT.as_secs()),
            "check that this computer may reach it, then look again",
        )),
    }
}

async fn ask(options: &PgConnectOptions) -> sqlx::Result<(String, bool, bool)> {
    let mut connection = PgConnection::connect_with(options).await?;
    let answer = sqlx::query_as(QUESTION).fetch_one(&mut connection).await?;
    // the answer is what was wanted
    drop(connection.close().await);
    Ok(answer)
}

fn cause(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |it| it.message().to_owned())
}

fn mend(error: &sqlx::Error, from: &str) -> String {
    // a certificate that is not accepted comes as a broken connection
    let is_about_tls =
        matches!(error, sqlx::Error::Tls(_)) || error.to_string().contains("certificate");
    if is_about_tls {
        return format!(
            "the server must offer TLS with a certificate that `sslmode` and `sslrootcert` in \
             {from} accept"
        );
    }
    if error.as_database_error().is_some() {
        return format!("check user, password and database in {from}");
    }
    format!("check host and port in {from}, and that this computer may reach them")
}
