//! Which running machines there are for each app, and which of them takes the next request.
//!
//! The table is an immutable snapshot that is swapped as a whole. A request *enters* an instance
//! first and looks then whether the instance is still in rotation; whoever takes an instance out
//! of rotation does so first and counts the requests then. One of the two always sees the other,
//! so that no request is handed to a machine that is going away.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::{Notify, watch};

use super::{body::AttemptBody, connect::MeteredConnector};
use crate::{clock, fault::Target, metrics::MachineMeter};

/// Connections to a machine are kept for so long without a request: shorter than the time after
/// which common servers close them, so that the two seldom meet.
const POOL_IDLE_MAX: Duration = Duration::from_secs(2);

/// The soft limit of a machine that names none (Fly's default).
pub(crate) const SOFT_LIMIT_DEFAULT: usize = 20;

/// One start of one machine, as the proxy sees it. Its connections end with it, so that no
/// connection to an old version is ever used for a new one.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) app: String,
    pub(crate) machine: String,
    /// The start that this is; a machine that is restarted becomes another instance.
    pub(crate) start: String,
    pub(crate) image_digest: String,
    pub(crate) address: SocketAddr,
    pub(crate) soft_limit: usize,
    pub(crate) hard_limit: usize,
    /// Counts what this machine answers, over all its starts.
    pub(crate) meter: Arc<MachineMeter>,
    /// Taken away when the machine is asked to stop: with it go the idle connections, for which
    /// a program that finishes its connections first would otherwise wait.
    client: Mutex<Option<InstanceClient>>,
    in_rotation: AtomicBool,
    in_flight: AtomicUsize,
    created: Instant,
    /// Milliseconds from `created` to the end of the last request.
    last_used_ms: AtomicU64,
    /// Told when the last request has left an instance that is out of rotation.
    drained: Arc<Notify>,
}

/// Sends requests to one instance over connections of its own.
pub(crate) type InstanceClient = Client<MeteredConnector, AttemptBody>;

/// What an instance is made from.
#[derive(Debug)]
pub(crate) struct InstanceSpec {
    pub(crate) app: String,
    pub(crate) machine: String,
    pub(crate) start: String,
    pub(crate) image_digest: String,
    pub(crate) address: SocketAddr,
    pub(crate) soft_limit: Option<usize>,
    pub(crate) hard_limit: Option<usize>,
    pub(crate) drained: Arc<Notify>,
    pub(crate) meter: Arc<MachineMeter>,
}

impl Instance {
    /// An instance that is not in rotation yet.
    pub(crate) fn new(spec: InstanceSpec) -> Arc<Self> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_MAX)
            .build(MeteredConnector::new(Arc::clone(&spec.meter)));
        let hard_limit = spec.hard_limit.unwrap_or(usize::MAX);
        Arc::new(Self {
            app: spec.app,
            machine: spec.machine,
            start: spec.start,
            image_digest: spec.image_digest,
            address: spec.address,
            soft_limit: spec.soft_limit.unwrap_or(SOFT_LIMIT_DEFAULT).min(hard_limit),
            hard_limit,
            meter: spec.meter,
            client: Mutex::new(Some(client)),
            in_rotation: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            created: clock::instant(),
            last_used_ms: AtomicU64::new(0),
            drained: spec.drained,
        })
    }

    /// What faults are limited to.
    pub(crate) fn target(&self) -> Target<'_> {
        Target { app: &self.app, machine: &self.machine, image_digest: &self.image_digest }
    }

    pub(crate) fn is_in_rotation(&self) -> bool {
        self.in_rotation.load(SeqCst)
    }

    /// Puts the instance into rotation or takes it out. What was handed to it before stays.
    pub(crate) fn set_in_rotation(&self, in_rotation: bool) {
        self.in_rotation.store(in_rotation, SeqCst);
    }

    /// The client for a request that has entered; none once the instance is closed.
    pub(crate) fn client(&self) -> Option<InstanceClient> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the idle connections and opens no more.
    pub(crate) fn close(&self) {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    /// How long no request has been with this instance; zero while there is one.
    pub(crate) fn idle_for(&self) -> Duration {
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let last_used = Duration::from_millis(self.last_used_ms.load(SeqCst));
        clock::instant().duration_since(self.created).saturating_sub(last_used)
    }

    /// Hands a request to this instance, unless it is out of rotation or full.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Visit> {
        let before = self.in_flight.fetch_add(1, SeqCst);
        // From here on the drain counts this request; leaving again is the visit's drop.
        let visit = Visit { instance: Arc::clone(self) };
        (self.is_in_rotation() && before < self.hard_limit).then_some(visit)
    }
}

/// A request that is with an instance, until its answer is delivered to the last byte.
#[derive(Debug)]
pub(crate) struct Visit {
    instance: Arc<Instance>,
}

impl Visit {
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let instance = &self.instance;
        let age = clock::instant().duration_since(instance.created);
        instance.last_used_ms.store(u64::try_from(age.as_millis()).unwrap_or(u64::MAX), SeqCst);
        let before = instance.in_flight.fetch_sub(1, SeqCst);
        if before == 1 && !instance.is_in_rotation() {
            instance.drained.notify_one();
        }
    }
}

type Table = BTreeMap<String, Vec<Arc<Instance>>>;

/// The instances of every app.
#[derive(Debug)]
pub(crate) struct Routes {
    table: RwLock<Arc<Table>>,
    turn: AtomicUsize,
    changed: watch::Sender<u64>,
}

/// Which instance a request may go to.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Only this machine.
    pub(crate) only: Option<String>,
    /// This machine, if it can.
    pub(crate) prefer: Option<String>,
    /// No instance of these starts: the request was there already.
    pub(crate) excluded: BTreeSet<String>,
    /// Not this machine.
    pub(crate) elsewhere: Option<String>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let changed = watch::Sender::new(0);
        Self { table: RwLock::default(), turn: AtomicUsize::new(0), changed }
    }

    pub(crate) fn add(&self, instance: Arc<Instance>) {
        self.replace(|table| table.entry(instance.app.clone()).or_default().push(instance));
    }

    pub(crate) fn remove(&self, instance: &Instance) {
        self.replace(|table| {
            if let Some(instances) = table.get_mut(&instance.app) {
                instances.retain(|known| known.start != instance.start);
            }
        });
    }

    /// The instances of an app, in rotation or not.
    pub(crate) fn of(&self, app: &str) -> Vec<Arc<Instance>> {
        self.table().get(app).cloned().unwrap_or_default()
    }

    /// Hands a request to the instance with the fewest requests among those that can take it.
    pub(crate) fn enter(&self, app: &str, choice: &Choice) -> Option<Visit> {
        let table = self.table();
        let instances = table.get(app)?;
        if let Some(preferred) = &choice.prefer {
            let visit = instances
                .iter()
                .filter(|instance| instance.machine == *preferred && choice.allows(instance))
                .find_map(Instance::enter);
            if visit.is_some() {
                return visit;
            }
        }
        // Among equals the one whose turn it is, so that an idle app uses all its machines.
        let turn = self.turn.fetch_add(1, SeqCst);
        let count = instances.len().max(1);
        let mut candidates: Vec<_> = instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.is_in_rotation() && choice.allows(instance))
            .map(|(index, instance)| (instance.in_flight(), (index + turn) % count, instance))
            .collect();
        candidates.sort_by_key(|(in_flight, order, _)| (*in_flight, *order));
        candidates.into_iter().find_map(|(_, _, instance)| instance.enter())
    }

    /// Wakes the requests that wait for an instance.
    pub(crate) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, change: impl FnOnce(&mut Table)) {
        let mut current = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table::clone(&current);
        change(&mut next);
        next.retain(|_, instances| !instances.is_empty());
        *current = Arc::new(next);
    }
}

impl Choice {
    fn allows(&self, instance: &Instance) -> bool {
        self.only.as_ref().is_none_or(|only| instance.machine == *only)
            && self.elsewhere.as_ref().is_none_or(|not| instance.machine != *not)
            && !self.excluded.contains(&instance.start)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::metrics::Metrics;

    fn instance(machine: &str, hard_limit: Option<usize>) -> Arc<Instance> {
        let instance = Instance::new(InstanceSpec {
            app: "app".to_owned(),
            machine: machine.to_owned(),
            start: format!("start-of-{machine}"),
            image_digest: String::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            soft_limit: None,
            hard_limit,
            drained: Arc::default(),
            meter: Metrics::default().machine("app", machine),
        });
        instance.set_in_rotation(true);
        instance
    }

    #[test]
    fn the_machine_with_the_fewest_requests_is_next() {
        let routes = Routes::new();
        routes.add(instance("one", None));
        routes.add(instance("two", None));
        let visits: Vec<_> =
            (0..4).map(|_| routes.enter("app", &Choice::default()).expect("a machine")).collect();
        let on_one = visits.iter().filter(|visit| visit.instance().machine == "one").count();
        assert_eq!(on_one, 2);
        assert!(routes.enter("other", &Choice::default()).is_none());
    }

    #[test]
    fn a_full_or_cordoned_or_excluded_machine_takes_nothing() {
        let routes = Routes::new();
        let one = instance("one", Some(1));
        routes.add(Arc::clone(&one));
        let visit = routes.enter("app", &Choice::default()).expect("room for one");
        assert!(routes.enter("app", &Choice::default()).is_none());
        assert_eq!(one.in_flight(), 1, "the one that was turned away is not counted");
        drop(visit);
        let excluded = BTreeSet::from([one.start.clone()]);
        assert!(routes.enter("app", &Choice { excluded, ..Choice::default() }).is_none());
        let only = Some("two".to_owned());
        assert!(routes.enter("app", &Choice { only, ..Choice::default() }).is_none());
        one.set_in_rotation(false);
        assert!(routes.enter("app", &Choice::default()).is_none());
        assert_eq!(one.in_flight(), 0);
    }

    #[test]
    fn a_drain_never_misses_a_request() {
        // Whoever enters may go on only if the drain has not yet seen zero requests.
        for _ in 0..200 {
            let one = instance("one", None);
            let gone = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        if let Some(visit) = one.enter() {
                            assert!(!gone.load(SeqCst), "a request was handed to a dead machine");
                            drop(visit);
                        }
                    });
                }
                scope.spawn(|| {
                    one.set_in_rotation(false);
                    while one.in_flight() > 0 {
                        thread::yield_now();
                    }
                    gone.store(true, SeqCst);
                });
            });
        }
    }
}
