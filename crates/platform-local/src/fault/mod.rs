//! Breaks things on purpose, so that people can rehearse a failure: which faults are set, whom
//! they strike, and when they end. Set faults survive the end of the platform, and it says so
//! loudly when it comes back with them. Where none is set, whoever asks pays for one look at an
//! atomic number.

mod active;
mod api;
mod disk;
mod drill;
mod kind;
mod order;
mod scope;
mod traffic;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU8, Ordering::SeqCst},
};

use serde_json::{Map, Value};
use tokio::sync::{Mutex, Notify};

pub(crate) use disk::clear_leftovers;
pub(crate) use drill::drill;
pub(crate) use order::Order;
pub(crate) use scope::Target;
pub(crate) use traffic::{AnswerStrike, BreakingBody};

use crate::{
    clock,
    error::Refusal,
    identity,
    store::{Store, StoreError},
};
use active::Active;
use kind::Place;

/// More faults at once than anybody needs.
const FAULTS_MAX: usize = 100;

/// Where the store keeps them.
const KEY: &str = "faults";

/// The faults that are set, oldest first.
type Table = Arc<Vec<Arc<Active>>>;

/// The faults that are set.
#[derive(Debug)]
pub(crate) struct Faults {
    store: Store,
    table: RwLock<Table>,
    /// The bits of the places where a fault may strike.
    places: AtomicU8,
    /// Held while the set of faults changes.
    turn: Mutex<()>,
    /// Told when it has changed.
    changed: Notify,
}

impl Faults {
    /// The faults that an earlier platform has left. Without leave to have any they are gone.
    pub(crate) async fn open(store: Store, allowed: bool) -> Result<Self, StoreError> {
        let text = store.meta(KEY).await?.unwrap_or_default();
        let stored: Vec<Map<String, Value>> = serde_json::from_str(&text).unwrap_or_default();
        let faults = Self {
            store,
            table: RwLock::default(),
            places: AtomicU8::new(0),
            turn: Mutex::default(),
            changed: Notify::new(),
        };
        if !allowed {
            if !stored.is_empty() {
                let count = stored.len();
                tracing::warn!(count, "faults of the last run are gone: this run allows none");
                faults.store.set_meta(KEY, "[]").await?;
            }
            return Ok(faults);
        }
        let mut table = Vec::new();
        for fields in stored {
            match Active::restored(fields) {
                Some(fault) if !fault.is_over() => {
                    let (id, order) = (&fault.id, Value::Object(fault.order.fields()));
                    tracing::warn!(
                        id,
                        %order,
                        "a fault of the last run is still set; `holdpoint fault remove --all` removes all"
                    );
                    table.push(Arc::new(fault));
                }
                Some(fault) => tracing::warn!(id = fault.id, "a fault of the last run has ended"),
                None => tracing::warn!("a fault of the last run cannot be read and is gone"),
            }
        }
        faults.set(table);
        Ok(faults)
    }

    /// Sets a fault, and gives it as clients see it. It is stored before it strikes.
    pub(crate) async fn add(&self, order: Order) -> Result<Value, Refusal> {
        let _turn = self.turn.lock().await;
        let mut table = Vec::clone(&self.table());
        if table.len() >= FAULTS_MAX {
            let text = format!("there are {FAULTS_MAX} faults already\nhint: remove one first");
            return Err(Refusal::unprocessable(text));
        }
        let fault = Arc::new(Active::begin(identity::nonce(), order, clock::now()));
        tracing::warn!(id = fault.id, kind = fault.order.kind.name(), "a fault is set");
        table.push(Arc::clone(&fault));
        self.save(&table).await?;
        self.set(table);
        Ok(fault.view())
    }

    /// Removes a fault; whether there was one.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.keep_only(|fault| fault.id != id).await? > 0)
    }

    /// Removes all faults; how many there were.
    pub(crate) async fn remove_all(&self) -> Result<usize, StoreError> {
        self.keep_only(|_| false).await
    }

    /// The faults as clients see them, oldest first.
    pub(crate) fn list(&self) -> Vec<Value> {
        self.table().iter().map(|fault| fault.view()).collect()
    }

    /// The faults that may strike at this place; none, at the price of one look, if there are none.
    fn at(&self, place: Place) -> Option<Table> {
        (self.places.load(SeqCst) & place as u8 != 0).then(|| self.table())
    }

    fn table(&self) -> Table {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn keep_only(&self, keep: impl Fn(&Active) -> bool) -> Result<usize, StoreError> {
        let _turn = self.turn.lock().await;
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.table().iter().cloned().partition(|fault| keep(fault));
        if gone.is_empty() {
            return Ok(0);
        }
        // It must not strike any more even if the store fails.
        self.set(kept.clone());
        for fault in &gone {
            tracing::warn!(id = fault.id, struck = fault.struck(), "a fault has ended");
        }
        self.save(&kept).await?;
        Ok(gone.len())
    }

    fn set(&self, table: Vec<Arc<Active>>) {
        let places = table.iter().fold(0, |bits, fault| bits | fault.order.kind.place() as u8);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.places.store(places, SeqCst);
        self.changed.notify_one();
    }

    async fn save(&self, table: &[Arc<Active>]) -> Result<(), StoreError> {
        let stored = table.iter().map(|fault| Value::Object(fault.stored())).collect();
        self.store.set_meta(KEY, &Value::Array(stored).to_string()).await
    }
}
