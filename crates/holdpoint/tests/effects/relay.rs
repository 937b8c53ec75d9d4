//! Stands between an executor and the platform, and loses one answer on demand: what was asked
//! has happened, and whoever asked does not know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Relay {
    pub(crate) url: String,
    loses: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn to(platform: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let loses = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&loses);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, platform, Arc::clone(&shared)));
            }
        });
        Self { url, loses }
    }

    /// The answer to the next `POST` is lost.
    pub(crate) fn lose_an_answer(&self) {
        self.loses.store(true, SeqCst);
    }
}

/// Carries bytes both ways until either side ends, or an answer is to be lost.
async fn carry(mut client: TcpStream, platform: SocketAddr, loses: Arc<AtomicBool>) {
    let mut platform = TcpStream::connect(platform).await.expect("the platform");
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut was_post = false;
    loop {
        let sent = tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(count @ 1..) => {
                    let bytes = asked.get(..count).unwrap_or_default();
                    was_post = bytes.starts_with(b"POST");
                    platform.write_all(bytes).await
                }
                Ok(0) | Err(_) => return,
            },
            read = platform.read(&mut answered) => match read {
                Ok(1..) if was_post && loses.swap(false, SeqCst) => return,
                Ok(count @ 1..) => {
                    client.write_all(answered.get(..count).unwrap_or_default()).await
                }
                Ok(0) | Err(_) => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}
