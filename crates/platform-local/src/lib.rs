//! A Machines API served from this computer: apps, machines, leases, secrets, an image registry,
//! and a reverse proxy, for programs that speak to Fly.
//!
//! A machine is a process started from an unpacked image, on a port of its own. Everything that
//! was accepted survives a crash; machines outlive the platform and are taken over when it comes
//! back. A machine is held to its memory and CPUs; otherwise there is no isolation between
//! machines: they run as the user who runs the platform.

mod api;
mod clock;
mod error;
mod fault;
mod fleet;
mod identity;
mod log;
mod metrics;
mod platform;
mod proxy;
mod registry;
mod settings;
mod store;
mod supervisor;
mod tls;

pub use error::StartError;
pub use platform::{Platform, TlsPlace};
pub use settings::{Runtime, Settings};
pub use store::StoreError;
pub use tls::AuthorityError;
