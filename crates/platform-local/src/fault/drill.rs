//! The faults that strike machines by themselves: kills, memory that fills up, volumes that are
//! full. It also ends every fault whose time or number of strikes is used up.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{Active, Faults, Target, disk, kind::Kind};
use crate::{
    clock,
    fleet::{Fleet, Machine},
    supervisor::{
        MemoryGroup, MemoryTaker, Program, available_bytes, is_shared, make_first_victim,
    },
};

/// While a fault is set, its own task looks so often what there is to do.
const LOOK: Duration = Duration::from_millis(200);

/// What a fault has done to machines and takes back.
#[derive(Debug, Default)]
struct Deeds {
    /// What takes the memory of a start, by the start.
    takers: BTreeMap<String, Taker>,
    /// Full volumes, each with the room that is laid over it.
    full: BTreeMap<PathBuf, PathBuf>,
    /// How many strikes are in the store.
    saved: u64,
}

/// What takes memory on behalf of a fault, until it is dropped.
#[derive(Debug)]
struct Taker {
    fault: String,
    _program: MemoryTaker,
}

/// Drives the faults until the platform stops, and takes back then what it has done to volumes.
pub(crate) async fn drill(fleet: Fleet) {
    let (faults, stop) = (fleet.faults(), fleet.context.stop.clone());
    let mut deeds = Deeds::default();
    while !stop.is_cancelled() {
        if let Err(error) =
            faults.keep_only(|fault| !fault.is_over() || deeds.is_at_work(fault)).await
        {
            tracing::error!(%error, "the end of a fault could not be stored");
        }
        deeds.do_all(&fleet).await;
        deeds.save(faults).await;
        let idle = faults.table().is_empty();
        tokio::select! {
            () = stop.cancelled() => {}
            () = faults.changed.notified() => {}
            () = clock::pause(LOOK), if !idle => {}
        }
    }
    deeds.empty_all(&BTreeMap::new()).await;
    deeds.save(faults).await;
}

impl Deeds {
    async fn do_all(&mut self, fleet: &Fleet) {
        let mut full = BTreeMap::new();
        let mut starved = Vec::new();
        let table = fleet.faults().table();
        for fault in table.iter() {
            if fault.is_over() && !self.is_at_work(fault) {
                continue;
            }
            if let Kind::Kill { every_secs } = fault.order.kind {
                kill(fleet, fault, every_secs).await;
            } else if fault.order.kind == (Kind::Memory {}) {
                starved.extend(self.starve(fleet, fault));
            } else if fault.order.kind == (Kind::DiskFull {}) {
                full.extend(self.fill(fleet, fault).await);
            }
        }
        self.takers.retain(|start, _| starved.contains(start));
        self.empty_all(&full).await;
        self.full = full;
    }

    /// Whether memory is being filled for a fault whose last strike this is: it must get the time
    /// that filling takes.
    fn is_at_work(&self, fault: &Active) -> bool {
        !fault.is_out_of_time() && self.takers.values().any(|taker| taker.fault == fault.id)
    }

    /// Fills the memory of each start once; gives the starts that are in scope.
    fn starve(&mut self, fleet: &Fleet, fault: &Active) -> Vec<String> {
        let mut starts = Vec::new();
        let mut trouble = None;
        for machine in in_scope(fleet, fault) {
            let snapshot = machine.snapshot();
            let Some(run) = &snapshot.record.run else { continue };
            starts.push(run.start.clone());
            if self.takers.contains_key(&run.start) || fault.is_over() {
                continue;
            }
            // One that is just being changed gets its turn at the next look.
            let Some(program) = machine.program() else { continue };
            match starve_program(&program) {
                Ok(program) if fault.count_strike() => {
                    tracing::warn!(fault = fault.id, machine = machine.id, "its memory is filled");
                    let taker = Taker { fault: fault.id.clone(), _program: program };
                    self.takers.insert(run.start.clone(), taker);
                }
                Ok(_too_many) => {}
                Err(reason) => trouble = Some(format!("machine `{}`: {reason}", machine.id)),
            }
        }
        fault.note_trouble(trouble);
        starts
    }

    /// Makes the volumes of the machines in scope full; gives all that are.
    async fn fill(&self, fleet: &Fleet, fault: &Active) -> BTreeMap<PathBuf, PathBuf> {
        let mut full = BTreeMap::new();
        let mut trouble = None;
        for machine in in_scope(fleet, fault) {
            let volumes = machine.volumes();
            if volumes.is_empty() {
                trouble = Some(format!("machine `{}` has no volume to be full", machine.id));
            }
            for volume in volumes {
                let (room, place) = (disk::room_of(&volume), volume.clone());
                if !self.full.contains_key(&volume) {
                    if machine.runs_in_container() && !is_shared(&volume) {
                        trouble = Some(format!(
                            "the container of machine `{}` would not see it: `{}` is on no shared \
                             mount\nhint: `mount --make-rshared /` makes all shared; then start \
                             the machine anew",
                            machine.id,
                            volume.display()
                        ));
                        continue;
                    }
                    let filled = tokio::task::spawn_blocking(move || disk::fill(&place, &room));
                    match filled.await.unwrap_or_else(|error| Err(error.to_string())) {
                        Ok(()) => {
                            fault.count_strike();
                        }
                        Err(reason) => {
                            trouble = Some(reason);
                            continue;
                        }
                    }
                }
                full.insert(volume.clone(), disk::room_of(&volume));
            }
        }
        fault.note_trouble(trouble);
        full
    }

    /// Gives every volume its room back that shall no longer be full.
    async fn empty_all(&mut self, still: &BTreeMap<PathBuf, PathBuf>) {
        let gone = std::mem::take(&mut self.full);
        for (volume, room) in gone.into_iter().filter(|(volume, _)| !still.contains_key(volume)) {
            let emptied = tokio::task::spawn_blocking(move || {
                disk::empty(&volume);
                disk::empty(&room);
                if let Err(error) = std::fs::remove_dir(&room) {
                    tracing::debug!(%error, "the room of a full volume is left");
                }
            });
            if let Err(error) = emptied.await {
                tracing::error!(%error, "a volume may be left full");
            }
        }
    }

    /// Stores how often faults have struck, if they have.
    async fn save(&mut self, faults: &Faults) {
        let struck = faults.table().iter().map(|fault| fault.struck()).sum();
        if struck == self.saved {
            return;
        }
        let _turn = faults.turn.lock().await;
        match faults.save(&faults.table()).await {
            Ok(()) => self.saved = struck,
            Err(error) => tracing::error!(%error, "the strikes of faults could not be stored"),
        }
    }
}

/// The running machines that a fault is meant for.
fn in_scope(fleet: &Fleet, fault: &Active) -> Vec<Arc<Machine>> {
    let mut machines = fleet.all_machines();
    machines.retain(|machine| {
        let snapshot = machine.snapshot();
        snapshot.record.run.as_ref().is_some_and(|run| {
            let image_digest = &run.image_digest;
            let target = Target { app: &machine.app, machine: &machine.id, image_digest };
            fault.order.scope.includes(target)
        })
    });
    machines
}

async fn kill(fleet: &Fleet, fault: &Active, every_secs: Option<u64>) {
    // One that is not repeated is due once, and over then.
    let every = every_secs.map_or(Duration::MAX, Duration::from_secs);
    if !fault.take_turn(every.min(Duration::from_hours(24 * 365))) {
        return;
    }
    let machines = in_scope(fleet, fault);
    let none = machines.is_empty().then(|| "no program of its scope runs".to_owned());
    fault.note_trouble(none);
    for machine in machines {
        if fault.count_strike() && machine.kill_program().await {
            tracing::warn!(fault = fault.id, machine = machine.id, "its program is killed");
        }
    }
    if every_secs.is_none()
        && let Err(error) = fleet.faults().remove(&fault.id).await
    {
        tracing::error!(%error, "the end of a fault could not be stored");
    }
}

/// Begins to fill the memory that a program may use.
fn starve_program(program: &Program) -> Result<MemoryTaker, String> {
    let pid = program.pid().ok_or(
        "its process cannot be seen from here\nhint: use a container engine of this computer",
    )?;
    let group = MemoryGroup::of(pid).ok_or(
        "it has no control group that limits its memory\nhint: run the platform as root, so that \
         it can make one",
    )?;
    let available = available_bytes().unwrap_or(0);
    if group.limit_bytes >= available {
        let (limit_mb, available_mb) = (group.limit_bytes >> 20, available >> 20);
        return Err(format!(
            "its limit is {limit_mb} MB, and this computer has {available_mb} MB: others would \
             suffer\nhint: give the machine less memory"
        ));
    }
    // Else the kernel might end the taker, which is larger, and not the program.
    make_first_victim(pid).map_err(|error| format!("it cannot be made the victim: {error}"))?;
    MemoryTaker::start(&group.path).map_err(|error| format!("nothing takes its memory: {error}"))
}
