//! Acts and shows: the command line, the one loop that drives the engine, the adapters through
//! which effects reach the world, and the rehearsal. What is to be done is decided by
//! `holdpoint-core`; nothing here decides.
//!
//! The modules are public so that tests can reach them; the crate's interface is its binary.

pub mod adapter;
pub mod cli;
pub mod daemon;
pub mod drill;
pub mod drill_record;
pub mod executor;
pub mod exit_code;
pub mod first_project;
pub mod http;
pub mod images;
pub mod message;
pub mod project_file;
pub mod rehearsal;
pub mod render;
pub mod scaling;
pub mod settings;
pub mod variables;
