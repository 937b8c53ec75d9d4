//! A platform as a process of its own, for the tests that kill it.
//!
//! Arguments: state directory, token, `--tls` for a TLS port and, for machines in containers, the
//! socket of an engine. It prints its addresses in one line and serves until it is killed.

use std::io::Write as _;

use platform_local::{Platform, Runtime, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(state_dir), Some(token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: platform STATE_DIR TOKEN".into());
    };
    let mut settings = Settings::new(state_dir, token);
    settings.allow_faults = true;
    for argument in arguments {
        if argument == "--tls" {
            settings.tls_listen = Some(settings.proxy_listen);
        } else {
            settings.runtime = Runtime::Container;
            settings.engine_socket = Some(argument.into());
        }
    }
    let platform = Platform::start(settings).await?;
    let mut output = std::io::stdout();
    let tls = platform.tls().map(|tls| tls.address.to_string()).unwrap_or_default();
    writeln!(output, "{} {} {tls}", platform.api_address(), platform.proxy_address())?;
    output.flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
