//! Builds, stores, unpacks and pushes OCI images; no container engine is needed.
//!
//! An image is made from a static Linux binary and some files ([`build`]), kept in an OCI image
//! layout directory ([`layout`]), turned back into a directory tree ([`unpack`]), written as one
//! archive ([`archive`]) and copied to a registry ([`registry`]). The same input gives the same
//! digest, byte for byte. Running an image is not decided here.

pub mod archive;
pub mod build;
mod digest;
mod elf;
pub mod layout;
pub mod manifest;
pub mod registry;
pub mod unpack;

pub use digest::{DigestError, ImageDigest};
