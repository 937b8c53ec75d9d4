//! Runs programs that outlive the platform: starts them, watches them, signals them, and finds
//! them again after the platform was restarted. What should run is decided by the fleet.

mod adopt;
mod log_reader;
mod logs;
mod ports;
mod process;
mod process_files;

pub(crate) use adopt::{PLATFORM_VARIABLE, START_VARIABLE, Survivors};
pub(crate) use log_reader::{LogPlace, read_log};
pub(crate) use logs::rotate;
pub(crate) use ports::PortPool;
pub(crate) use process::{Exit, Identity, Launch, Process};
pub(crate) use process_files::resident_bytes;
