//! Other proxies in front of the same machine, set up as their manuals advise for a reverse proxy
//! that keeps its connections and tells the machine who asks.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::Outcome;

/// So long a rival may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// A proxy that is not ours, running.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Rival {
    pub(crate) async fn nginx(directory: &Path, machine_port: u16) -> Outcome<Self> {
        let address = free_address().await?;
        let config = format!(
            "daemon off; worker_processes auto; pid {place}/nginx.pid; error_log stderr crit;
             events {{ worker_connections 4096; }}
             http {{
               access_log off;
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi;
               scgi_temp_path {place}/scgi;
               keepalive_requests 1000000;
               upstream machine {{
                 server 127.0.0.1:{machine_port};
                 keepalive 256; keepalive_requests 1000000;
               }}
               server {{
                 listen {address} backlog=4096;
                 location / {{
                   proxy_pass http://machine;
                   proxy_http_version 1.1;
                   proxy_set_header Connection \"\";
                   proxy_set_header Host $host;
                   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                   proxy_set_header X-Forwarded-Proto $scheme;
                   proxy_set_header X-Request-Id $request_id;
                 }}
               }}
             }}",
            place = directory.display()
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory).arg("-c").arg(&file);
        Self::start("nginx", command, address).await
    }

    pub(crate) async fn haproxy(directory: &Path, machine_port: u16) -> Outcome<Self> {
        let address = free_address().await?;
        let config = format!(
            "global
               maxconn 4096
             defaults
               mode http
               timeout connect 5s
               timeout client 60s
               timeout server 60s
               http-reuse always
               option forwardfor
             frontend clients
               bind {address}
               http-request set-header X-Forwarded-Proto http
               unique-id-format %[uuid()]
               unique-id-header X-Request-Id
               default_backend machines
             backend machines
               server machine 127.0.0.1:{machine_port}\n"
        );
        let file = directory.join("haproxy.cfg");
        fs::write(&file, config)?;
        let mut command = Command::new("haproxy");
        command.arg("-f").arg(&file);
        Self::start("HAProxy", command, address).await
    }

    async fn start(name: &'static str, mut command: Command, address: SocketAddr) -> Outcome<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START_MAX, listening)
            .await
            .map_err(|_elapsed| format!("{name} does not listen; see above why"))?;
        Ok(Self { name, address, child })
    }

    /// Asks it to end, and waits: killed, nginx would leave its workers behind.
    pub(crate) async fn end(mut self) -> Outcome<()> {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        rustix::process::kill_process(pid.ok_or("it has ended")?, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

/// What each rival says of its version, in one line.
pub(crate) async fn versions() -> String {
    let mut lines = Vec::new();
    for (program, question) in [("nginx", "-v"), ("haproxy", "-v"), ("wrk", "-v")] {
        let Ok(output) = Command::new(program).arg(question).output().await else { continue };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        lines.push(text.lines().next().unwrap_or_default().trim().to_owned());
    }
    lines.join("; ")
}

async fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?)
}
