//! Runs programs that outlive the platform: starts them, holds them to their limits, watches them,
//! signals them, and finds them again after the platform was restarted. What should run is decided
//! by the fleet.

mod adopt;
mod cgroup;
mod container;
mod exec;
mod exit;
mod limiter;
mod limits;
mod log_reader;
mod logs;
mod memory_group;
mod ports;
mod process;
mod process_files;
mod processes;
mod program;
mod propagation;
mod resident;
mod spawn;
mod suspend;
mod tools;

pub(crate) use adopt::{PLATFORM_VARIABLE, START_VARIABLE, Survivors};
use cgroup::Group;
use container::ContainerError;
pub(crate) use container::{Container, ContainerLaunch, Containers, Engine, EngineError};
pub(crate) use exec::{Exec, ExecDone, ExecError};
pub(crate) use exit::Exit;
pub(crate) use limiter::{Hold, Limiter};
pub(crate) use limits::{Limits, Stats, memory_mb};
pub(crate) use log_reader::{LogPlace, read_log};
pub(crate) use logs::{rotate, trim};
pub(crate) use memory_group::{MemoryGroup, available_bytes, make_first_victim};
pub(crate) use ports::PortPool;
pub(crate) use process::{Identity, Launch};
pub(crate) use process_files::{computed_ticks, load_averages};
pub(crate) use program::{Ended, NotStarted, Program, Ready};
pub(crate) use propagation::is_shared;
pub(crate) use tools::{MemoryTaker, mount, unmount};
