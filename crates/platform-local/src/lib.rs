//! platform-local
