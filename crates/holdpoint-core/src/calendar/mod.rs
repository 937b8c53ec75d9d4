//! When production may be changed.
