//! Reads the `fly-replay` header by which a machine asks that another one answer the request.
//! Only what one region with one proxy needs: `instance`, `prefer_instance`, `app`, `elsewhere`
//! and `state`; other fields are ignored.

/// A request is replayed at most so often (Fly's limit).
pub(super) const REPLAYS_MAX: u32 = 10;

/// What a machine asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) instance: Option<String>,
    pub(super) prefer_instance: Option<String>,
    pub(super) app: Option<String>,
    pub(super) elsewhere: bool,
    pub(super) state: Option<String>,
}

impl Replay {
    /// Reads the header's value: `key=value` pairs with `;` between them.
    pub(super) fn parse(value: &str) -> Self {
        let mut replay = Self::default();
        for (key, value) in value.split(';').filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "instance" => replay.instance = Some(value),
                "prefer_instance" => replay.prefer_instance = Some(value),
                "app" => replay.app = Some(value),
                "elsewhere" => replay.elsewhere = value == "true",
                "state" => replay.state = Some(value),
                _ => {}
            }
        }
        replay
    }

    /// The `fly-replay-src` header of the replayed request.
    pub(super) fn source(&self, machine: &str, region: &str, now_micros: i64) -> String {
        let state = self.state.as_ref().map(|state| format!(";state={state}")).unwrap_or_default();
        format!("instance={machine};region={region};t={now_micros}{state}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_read_in_any_order_with_spaces() {
        let replay = Replay::parse("state=a b; instance=148e21;region=ord");
        assert_eq!(replay.instance.as_deref(), Some("148e21"));
        assert_eq!(replay.source("m", "local", 5), "instance=m;region=local;t=5;state=a b");
        assert_eq!(Replay::parse("nonsense"), Replay::default());
    }
}
