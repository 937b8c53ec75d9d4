//! Drafting.
pub(crate) mod worker;
