//! Which running machines there are for each app, and which of them takes the next request.
//!
//! The table is an immutable snapshot that is swapped as a whole. A request *enters* an instance
//! first and looks then whether the instance is still in rotation; whoever takes an instance out
//! of rotation does so first and counts the requests then. One of the two always sees the other,
//! so that no request is handed to a machine that is going away.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{
    choice::Choice,
    connections::Connections,
    headers::Signature,
    offer::{Door, Doors, Entrance, Offer},
    region,
};
use crate::{clock, fault::Target, metrics::MachineMeter};

/// The soft limit of a machine that names none (Fly's default).
pub(crate) const SOFT_LIMIT_DEFAULT: usize = 20;

/// Milliseconds between two looks for a machine to start beside one that is over its soft limit.
const HELP_PERIOD_MS: u64 = 100;

/// One service of one start of one machine, as the proxy sees it. Its connections end with it, so that no
/// connection to an old version is ever used for a new one.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) app: String,
    pub(crate) machine: String,
    /// The start that this is; a machine that is restarted becomes another instance.
    pub(crate) start: String,
    pub(crate) image_digest: String,
    pub(crate) region: String,
    pub(crate) soft_limit: usize,
    pub(crate) hard_limit: usize,
    /// Counts what this machine answers, over all its starts.
    pub(crate) meter: Arc<MachineMeter>,
    connections: Connections,
    doors: Doors,
    signature: Signature,
    /// Where requests wait that find the app's machines full.
    room: OnceLock<Arc<Room>>,
    in_rotation: AtomicBool,
    in_flight: AtomicUsize,
    created: Instant,
    /// Milliseconds from `created` to the next look for another machine.
    next_help_ms: AtomicU64,
    /// Milliseconds from `created` to the end of the last request.
    last_used_ms: AtomicU64,
    /// Told when the last request has left an instance that is out of rotation.
    drained: Arc<Notify>,
}

/// What an instance is made from.
#[derive(Debug)]
pub(crate) struct InstanceSpec {
    pub(crate) app: String,
    pub(crate) machine: String,
    pub(crate) start: String,
    pub(crate) image_digest: String,
    pub(crate) region: String,
    pub(crate) address: SocketAddr,
    pub(crate) offer: Offer,
    pub(crate) drained: Arc<Notify>,
    pub(crate) meter: Arc<MachineMeter>,
}

impl Instance {
    /// An instance that is not in rotation yet.
    pub(crate) fn new(spec: InstanceSpec) -> Arc<Self> {
        let Offer { soft_limit, hard_limit, manner, doors, .. } = spec.offer;
        let hard_limit = hard_limit.unwrap_or(usize::MAX);
        Arc::new(Self {
            signature: Signature::new(&spec.machine, &spec.image_digest),
            app: spec.app,
            machine: spec.machine,
            start: spec.start,
            image_digest: spec.image_digest,
            region: spec.region,
            soft_limit: soft_limit.unwrap_or(SOFT_LIMIT_DEFAULT).min(hard_limit),
            hard_limit,
            connections: Connections::new(spec.address, manner, Arc::clone(&spec.meter)),
            doors,
            meter: spec.meter,
            room: OnceLock::new(),
            in_rotation: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            created: clock::instant(),
            next_help_ms: AtomicU64::new(0),
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

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What the service says about requests that come by this entrance; nothing if it is not
    /// reached by it.
    pub(super) fn door(&self, entrance: Entrance) -> Option<&Door> {
        self.doors.at(entrance)
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether it is time to look for another machine that could be started to help this one:
    /// seldom, because each look goes through all machines.
    pub(super) fn may_look_for_help(&self) -> bool {
        let now_ms = millis(self.age());
        let next_ms = self.next_help_ms.load(Relaxed);
        let then_ms = now_ms.saturating_add(HELP_PERIOD_MS);
        next_ms <= now_ms
            && self.next_help_ms.compare_exchange(next_ms, then_ms, Relaxed, Relaxed).is_ok()
    }

    /// How long ago the program was started.
    pub(crate) fn age(&self) -> Duration {
        clock::instant().duration_since(self.created)
    }

    /// Closes the idle connections, for which a program that finishes its connections first would
    /// otherwise wait, cuts the tunnels, and opens no more.
    pub(crate) fn close(&self) {
        self.connections.close();
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
        instance.last_used_ms.store(millis(instance.age()), SeqCst);
        let before = instance.in_flight.fetch_sub(1, SeqCst);
        if before == 1 && !instance.is_in_rotation() {
            instance.drained.notify_one();
        }
        if let Some(room) = instance.room.get().filter(|room| room.waiting.load(SeqCst) > 0) {
            room.freed.notify_one();
        }
    }
}

/// Where the requests of one app wait for a machine that has room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    waiting: AtomicUsize,
    freed: Notify,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Room>);

impl Waiting {
    /// Told, one after the other, that a request has left a machine.
    pub(super) fn freed(&self) -> &Notify {
        &self.0.freed
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Table = BTreeMap<String, Vec<Arc<Instance>>>;

/// The instances of every app.
#[derive(Debug)]
pub(crate) struct Routes {
    table: RwLock<Arc<Table>>,
    rooms: Mutex<BTreeMap<String, Arc<Room>>>,
    turn: AtomicUsize,
    changed: watch::Sender<u64>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        let changed = watch::Sender::new(0);
        Self {
            table: RwLock::default(),
            rooms: Mutex::default(),
            turn: AtomicUsize::new(0),
            changed,
        }
    }

    pub(crate) fn add(&self, instance: Arc<Instance>) {
        instance.room.get_or_init(|| self.room(&instance.app));
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

    /// Hands a request to the instance with the fewest requests among those that can take it,
    /// those below their soft limit first.
    pub(crate) fn enter(&self, app: &str, choice: &Choice) -> Option<Visit> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
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
        if choice.regions.is_empty() {
            return self.enter_best(instances, |instance| choice.allows(instance));
        }
        choice.regions.iter().find_map(|name| {
            let is_there = |instance: &Instance| region::is_in(&instance.region, name);
            self.enter_best(instances, |instance| is_there(instance) && choice.allows(instance))
        })
    }

    fn enter_best(
        &self,
        instances: &[Arc<Instance>],
        allows: impl Fn(&Instance) -> bool,
    ) -> Option<Visit> {
        // Among equals the one whose turn it is, so that an idle app uses all its machines.
        let turn = self.turn.fetch_add(1, Relaxed);
        let count = instances.len().max(1);
        // Another worker may take the last place first: then the next best one is asked.
        for _ in 0..count {
            let (_, instance) = instances
                .iter()
                .enumerate()
                .filter_map(|(index, instance)| {
                    let in_flight = instance.in_flight();
                    let can = instance.is_in_rotation()
                        && in_flight < instance.hard_limit
                        && allows(instance);
                    let rank =
                        (in_flight >= instance.soft_limit, in_flight, (index + turn) % count);
                    can.then_some((rank, instance))
                })
                .min_by_key(|(rank, _)| *rank)?;
            if let Some(visit) = instance.enter() {
                return Some(visit);
            }
        }
        None
    }

    /// Whether requests of this app must wait because its machines are at their hard limit; with
    /// the machine that is.
    pub(super) fn full(&self, app: &str, choice: &Choice) -> Option<Arc<Instance>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut instances = table.get(app)?.iter();
        let full = instances.find(|instance| {
            instance.is_in_rotation()
                && choice.allows(instance)
                && instance.in_flight() >= instance.hard_limit
        });
        full.cloned()
    }

    /// Takes a place among the requests that wait for this app.
    pub(super) fn wait(&self, app: &str) -> Waiting {
        let room = self.room(app);
        room.waiting.fetch_add(1, SeqCst);
        Waiting(room)
    }

    /// Whether the app wants whoever comes by the plain port to come by TLS; nothing if no machine
    /// of it runs.
    pub(super) fn forces_https(&self, app: &str) -> Option<bool> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut instances = table.get(app)?.iter();
        Some(instances.any(|instance| instance.doors.forces_https()))
    }

    /// Closes what one worker has kept open for nothing.
    pub(super) fn tidy(&self, worker: usize) {
        for instance in self.table().values().flatten() {
            instance.connections.tidy(worker);
        }
    }

    /// Wakes the requests that wait for an instance.
    pub(crate) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn room(&self, app: &str) -> Arc<Room> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(rooms.entry(app.to_owned()).or_default())
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::{super::offer, *};
    use crate::metrics::Metrics;

    fn offer() -> Offer {
        let services = r#"[{"internal_port": 8080}]"#;
        let services: Vec<_> = serde_json::from_str(services).expect("services");
        offer::offers(&services, false).remove(0)
    }

    fn instance(machine: &str, hard_limit: Option<usize>) -> Arc<Instance> {
        let instance = Instance::new(InstanceSpec {
            app: "app".to_owned(),
            machine: machine.to_owned(),
            start: format!("start-of-{machine}"),
            image_digest: String::new(),
            region: "ord".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            offer: Offer { hard_limit, ..offer() },
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
