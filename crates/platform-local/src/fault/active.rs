//! A fault that is set: what it is, till when, and how often it has struck.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::order::Order;
use crate::clock;

/// A fault that is set.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: String,
    pub(crate) order: Order,
    pub(crate) created_at: Timestamp,
    pub(crate) ends_at: Option<Timestamp>,
    /// The end on the clock that never goes back.
    ends: Option<Instant>,
    /// How many in its scope came by.
    seen: AtomicU64,
    struck: AtomicU64,
    /// When a fault that repeats itself is due again.
    next: Mutex<Option<Instant>>,
    /// Why it cannot strike, if it cannot.
    trouble: Mutex<Option<String>>,
}

impl Active {
    /// A fault that begins now.
    pub(super) fn begin(id: String, order: Order, now: Timestamp) -> Self {
        let lasts = order.scope.for_secs.and_then(|secs| i64::try_from(secs).ok());
        let ends_at =
            lasts.and_then(|secs| now.checked_add(jiff::SignedDuration::from_secs(secs)).ok());
        Self::new(id, order, now, ends_at)
    }

    fn new(id: String, order: Order, created_at: Timestamp, ends_at: Option<Timestamp>) -> Self {
        let left = |end: Timestamp| {
            std::time::Duration::try_from(end.duration_since(clock::now())).unwrap_or_default()
        };
        Self {
            id,
            order,
            created_at,
            ends_at,
            ends: ends_at.map(|end| clock::instant() + left(end)),
            seen: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            next: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Takes the turn of one that is in scope; whether it is struck.
    pub(super) fn strike(&self) -> bool {
        if self.is_over() {
            return false;
        }
        let turn = self.seen.fetch_add(1, Relaxed);
        self.order.scope.is_due(turn) && self.count_strike()
    }

    /// Counts a strike, if there may be one more.
    pub(super) fn count_strike(&self) -> bool {
        let most = self.order.scope.count.unwrap_or(u64::MAX);
        let more = |struck: u64| (struck < most).then(|| struck + 1);
        self.struck.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Whether its time or its number of strikes is used up.
    pub(super) fn is_over(&self) -> bool {
        self.is_out_of_time() || self.order.scope.count.is_some_and(|most| self.struck() >= most)
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.ends.is_some_and(|end| clock::instant() >= end)
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck.load(Relaxed)
    }

    /// Whether a fault that repeats itself is due now; if so, it is due again `after` that.
    pub(super) fn take_turn(&self, after: std::time::Duration) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        let due = next.is_none_or(|next| now >= next);
        if due {
            *next = Some(now + after);
        }
        due
    }

    /// Notes why the fault cannot strike; says so once.
    pub(super) fn note_trouble(&self, trouble: Option<String>) {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = trouble.as_ref().filter(|trouble| known.as_ref() != Some(*trouble)) {
            tracing::warn!(fault = self.id, trouble, "a fault cannot strike");
        }
        *known = trouble;
    }

    /// The fault as clients see it.
    pub(super) fn view(&self) -> Value {
        let mut fields = self.stored();
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(trouble) = trouble {
            fields.insert("trouble".to_owned(), Value::String(trouble));
        }
        Value::Object(fields)
    }

    /// The fault as it is stored.
    pub(super) fn stored(&self) -> Map<String, Value> {
        let mut fields = self.order.fields();
        for (name, value) in [
            ("id", json!(self.id)),
            ("created_at", json!(self.created_at)),
            ("ends_at", json!(self.ends_at)),
            ("seen", json!(self.seen.load(Relaxed))),
            ("struck", json!(self.struck())),
        ] {
            fields.insert(name.to_owned(), value);
        }
        fields
    }

    /// A fault as it was stored.
    pub(super) fn restored(mut fields: Map<String, Value>) -> Option<Self> {
        let id = fields.remove("id")?.as_str()?.to_owned();
        let created_at = serde_json::from_value(fields.remove("created_at")?).ok()?;
        let ends_at = serde_json::from_value(fields.remove("ends_at")?).ok()?;
        let (seen, struck) = (fields.remove("seen")?.as_u64()?, fields.remove("struck")?.as_u64()?);
        let order = Order::from_fields(fields).ok()?;
        let active = Self::new(id, order, created_at, ends_at);
        active.seen.store(seen, Relaxed);
        active.struck.store(struck, Relaxed);
        Some(active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(text: &str) -> Active {
        let order = Order::read(text.as_bytes()).expect("an order");
        Active::begin("f1".to_owned(), order, clock::now())
    }

    #[test]
    fn a_fault_ends_after_its_strikes() {
        let fault = active(r#"{"kind":"error","status":500,"share":0.5,"count":2}"#);
        let struck: Vec<_> = (0..8).filter(|_| fault.strike()).collect();
        assert_eq!(struck, [1, 3]);
        assert!(fault.is_over());
    }

    #[test]
    fn a_fault_goes_on_where_it_was_after_a_restart() {
        let fault = active(r#"{"kind":"error","status":500,"share":0.5,"for_secs":3600}"#);
        assert!(!fault.strike() && fault.strike() && !fault.strike());
        let again = Active::restored(fault.stored()).expect("readable");
        assert_eq!(again.view(), fault.view());
        assert!(again.strike(), "the fourth is the second one's successor");
    }

    #[test]
    fn a_fault_whose_time_ran_out_meanwhile_is_over() {
        let mut stored = active(r#"{"kind":"error","status":500,"for_secs":1}"#).stored();
        stored.insert("ends_at".to_owned(), json!("2020-01-01T00:00:00Z"));
        let fault = Active::restored(stored).expect("readable");
        assert!(fault.is_over() && !fault.strike());
    }
}
