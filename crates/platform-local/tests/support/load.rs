//! A steady stream of requests at one app, each of which must be answered well.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use reqwest::Method;
use tokio::task::{JoinHandle, JoinSet};

use super::Client;

/// Between two requests: 50 a second.
const PERIOD: Duration = Duration::from_millis(20);

pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    served_by: Mutex<BTreeSet<String>>,
}

/// What came of a load.
pub struct Report {
    pub answered: u64,
    pub failures: Vec<String>,
    pub served_by: BTreeSet<String>,
}

impl Load {
    /// Begins: GETs and POSTs in turn, some of them slow, without waiting for earlier ones.
    pub fn begin(api: &Client, app: &str) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let (api, app) = (api.clone(), app.to_owned());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&counts));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            let mut requests = JoinSet::new();
            let mut number = 0_u32;
            while !stopped.load(SeqCst) {
                ticks.tick().await;
                number += 1;
                requests.spawn(one(api.clone(), app.clone(), Arc::clone(&counted), number));
                while requests.try_join_next().is_some() {}
            }
            while requests.join_next().await.is_some() {}
        });
        Self { stop, counts, task }
    }

    pub fn answered(&self) -> u64 {
        self.counts.answered.load(SeqCst)
    }

    /// Waits until so many more requests are answered.
    pub async fn more(&self, count: u64) {
        let wanted = self.answered() + count;
        super::until("requests go on being answered", || async { self.answered() >= wanted }).await;
    }

    pub async fn end(self) -> Report {
        self.stop.store(true, SeqCst);
        self.task.await.expect("the load ends");
        Report {
            answered: self.counts.answered.load(SeqCst),
            failures: self.counts.failures.lock().expect("failures").clone(),
            served_by: self.counts.served_by.lock().expect("machines").clone(),
        }
    }
}

async fn one(api: Client, app: String, counts: Arc<Counts>, number: u32) {
    let request = match number % 3 {
        0 => api.request(Method::POST, &app, "/echo").body(vec![b'x'; 5000]),
        1 => api.request(Method::GET, &app, "/slow?ms=150"),
        _ => api.request(Method::GET, &app, "/"),
    };
    let outcome = match request.send().await {
        Ok(answer) => {
            let status = answer.status();
            let machine = answer.headers().get("x-served-by").cloned();
            match answer.bytes().await {
                Ok(body) if status.is_success() && !body.is_empty() => Ok(machine),
                Ok(body) => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
                Err(error) => Err(format!("{status}, then {error:?}")),
            }
        }
        Err(error) => Err(format!("{error:?}")),
    };
    match outcome {
        Ok(machine) => {
            counts.answered.fetch_add(1, SeqCst);
            let machine = machine.and_then(|value| value.to_str().ok().map(str::to_owned));
            counts.served_by.lock().expect("machines").extend(machine);
        }
        Err(failure) => counts.failures.lock().expect("failures").push(failure),
    }
}
