//! Where messages about a release go: the list of channels.

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::reader::Table;

/// How many channels there may be.
const CHANNELS_LIMIT: usize = 16;

/// Where messages about a release go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// The channels, in the file's order; the terminal alone where the file names none.
    pub channels: Vec<Channel>,
}

impl Notify {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut notify = Self::default();
        root.table("notify", |table| {
            let mut places = Vec::new();
            let channels = table.tables("channels", CHANNELS_LIMIT, |table| {
                places.push(table.span.clone());
                Channel::read(table)
            });
            if let Some(channels) = channels {
                let names = channels.iter().map(|channel| channel.name.as_str());
                table.report.distinct("channels", names.zip(&places));
                notify.channels = channels;
            }
        });
        notify
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self { channels: vec![Channel::terminal()] }
    }
}
