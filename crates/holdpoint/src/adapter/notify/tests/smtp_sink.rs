//! A mail server on this computer that takes every mail and keeps it: enough of SMTP (RFC 5321)
//! with `AUTH PLAIN` for any client to be content with it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail that arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    login: Option<String>,
    from: String,
    to: Vec<String>,
    /// The mail itself, with the dots of the transport taken out.
    data: Vec<String>,
}

impl Mail {
    /// The envelope and the mail.
    pub(super) fn text(&self) -> String {
        let Self { login, from, to, data } = self;
        let login = login.as_deref().unwrap_or("none");
        format!("login {login}, from {from}, to {}\n{}", to.join(" "), data.join("\n"))
    }
}

/// The server.
pub(super) struct SmtpSink {
    pub(super) port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl SmtpSink {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("address").port();
        let mails = Arc::<Mutex<Vec<Mail>>>::default();
        let kept = mails.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, kept.clone()));
            }
        });
        Self { port, mails }
    }

    pub(super) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("list").clone()
    }
}

/// One conversation. It ends when the client goes.
async fn converse(stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let mut mail = Mail::default();
    let mut answer = "220 sink ESMTP".to_owned();
    loop {
        if writing.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
            "AUTH" => {
                mail.login = rest.strip_prefix("PLAIN ").map(str::to_owned);
                "235 welcome".to_owned()
            }
            "MAIL" => {
                rest.trim_start_matches("FROM:").clone_into(&mut mail.from);
                "250 ok".to_owned()
            }
            "RCPT" if rest.contains("nobody@") => "550 no such mailbox".to_owned(),
            "RCPT" if rest.contains("busy@") => "450 try again later".to_owned(),
            "RCPT" => {
                mail.to.push(rest.trim_start_matches("TO:").to_owned());
                "250 ok".to_owned()
            }
            "DATA" => {
                let go = b"354 go on\r\n";
                if writing.write_all(go).await.is_err() {
                    return;
                }
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    mail.data.push(line.strip_prefix('.').unwrap_or(&line).to_owned());
                }
                mails.lock().expect("list").push(std::mem::take(&mut mail));
                "250 kept".to_owned()
            }
            "QUIT" | "RSET" | "NOOP" => "250 ok".to_owned(),
            _ => "502 not known".to_owned(),
        };
    }
}
