//! The beginning of a connection on the TLS port: the handshake, within a time, counted. What is
//! said afterwards is the worker's business, and so is every connection on the plain port.

use std::{io, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{ServerConfig, server::Acceptor},
    server::TlsStream,
};

use super::{forward::Forwarder, headers};
use crate::{clock, tls};

/// What a client reads that does not speak TLS but HTTP.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 59\r\n\r\n\
    this port speaks TLS\nhint: begin the address with https://\n";

/// The TLS port.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) port: u16,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) is_http2: bool,
}

impl Forwarder {
    /// Agrees with a client on keys and protocol. All of it must be done within `time_max`.
    pub(super) async fn shake_hands(
        &self,
        tls: &Tls,
        stream: TcpStream,
        time_max: Duration,
    ) -> io::Result<Secured> {
        let begun = clock::instant();
        let mut asked = None;
        let shaken = tokio::time::timeout(time_max, shake(tls, stream, &mut asked)).await;
        let shaken = shaken.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        // Made-up names would fill the metrics.
        let app = asked.as_deref().and_then(headers::app_of).unwrap_or_default();
        let meter = self.fleet.metrics().app(if self.fleet.has_app(&app) { &app } else { "" });
        match &shaken {
            Ok(_) => meter.shook_hands(clock::instant().duration_since(begun)),
            Err(_) => meter.failed_handshake(),
        }
        shaken
    }
}

/// `asked` becomes the name that the client asks for, as soon as it is known.
async fn shake(
    tls: &Tls,
    mut stream: TcpStream,
    asked: &mut Option<String>,
) -> io::Result<Secured> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    if count > 0 && first[0].is_ascii_alphabetic() {
        stream.write_all(NOT_TLS).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks no TLS"));
    }
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    *asked = hello.client_hello().server_name().map(str::to_owned);
    let stream = hello.into_stream(Arc::clone(&tls.config)).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
    Ok(Secured { stream, is_http2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_speaks_http_reads_a_whole_answer() {
        let text = std::str::from_utf8(NOT_TLS).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
