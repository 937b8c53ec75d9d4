//! Brings what machines write to their files into the logs of their apps, a moment after it was
//! written, and now and then what the proxy left out. How the files look is the supervisor's
//! business.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{Level, NewLine, Provider};
use crate::{
    clock,
    fleet::{Fleet, Machine},
    supervisor::{self, LogPlace},
};

/// Between two looks at the files: a person who follows a log takes this for at once.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// A machine that stopped so long ago has written its last line.
const QUIET_AFTER_SECS: i64 = 10;

/// How far each machine's log has been read.
type Places = BTreeMap<String, LogPlace>;

/// The file of a machine that may have written.
struct Source {
    app: String,
    id: String,
    name: String,
    log: PathBuf,
}

/// Collects until the platform stops.
pub(crate) async fn collect(fleet: Fleet) {
    let stop = fleet.context.stop.clone();
    let mut places = Places::new();
    loop {
        let sources = sources(&fleet, &places);
        let read = tokio::task::spawn_blocking(move || look(sources, places)).await;
        places = match read {
            Ok((lines, places)) => {
                for (app, line) in lines {
                    fleet.context.logs.append(&app, line);
                }
                places
            }
            Err(error) => {
                tracing::error!(%error, "the machines' logs could not be read");
                Places::new()
            }
        };
        fleet.context.logs.tell_left_out();
        places.retain(|id, _| fleet.machine(id).is_some());
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock::pause(LOOK_PERIOD) => {}
        }
    }
}

/// The machines that run or have just stopped, and those whose file nobody has looked at yet.
fn sources(fleet: &Fleet, places: &Places) -> Vec<Source> {
    let now = clock::now();
    let may_write = |machine: &Arc<Machine>| {
        let snapshot = machine.snapshot();
        let record = &snapshot.record;
        let quiet_secs = now.as_second() - record.updated_at.as_second();
        record.run.is_some() || quiet_secs < QUIET_AFTER_SECS || !places.contains_key(&machine.id)
    };
    let source = |machine: Arc<Machine>| Source {
        app: machine.app.clone(),
        id: machine.id.clone(),
        name: machine.snapshot().record.name.clone(),
        log: machine.log_file(),
    };
    fleet.machines_with_logs().into_iter().filter(may_write).map(source).collect()
}

/// Reads what is new in each file, and gives back the disk under what is old.
fn look(sources: Vec<Source>, mut places: Places) -> (Vec<(String, NewLine)>, Places) {
    let mut lines = Vec::new();
    for Source { app, id, name, log } in sources {
        let place = places.entry(id.clone()).or_default();
        match supervisor::read_log(&log, place) {
            Ok(written) => lines.extend(written.into_iter().map(|written| {
                let line = NewLine {
                    at: written.at,
                    provider: Provider::App,
                    level: Level::Info,
                    machine: Some((id.clone(), name.clone())),
                    text: written.text,
                };
                (app.clone(), line)
            })),
            Err(error) => tracing::warn!(%error, machine = id, "a log could not be read"),
        }
        if let Err(error) = supervisor::trim(&log) {
            tracing::warn!(%error, machine = id, "a large log could not be made smaller");
        }
    }
    (lines, places)
}
