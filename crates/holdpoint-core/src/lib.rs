//! Decides how a release goes: what to do next, when, and why not sooner.
//!
//! This crate is sans-IO and deterministic. It has no clock, randomness, environment,
//! file, socket, thread or `async`: time is an argument, facts are inputs, and whatever is to be
//! done in the world leaves as data ([`effect::Effect`]). The shell around it (the `holdpoint`
//! crate) performs effects; the simulator (`holdpoint-sim`) performs the same effects on a
//! seeded world of its own.
//!
//! Start reading at [`engine::Engine`]; the shape of what is decided is in [`plan`].
#![warn(missing_docs)]

pub mod app_config;
pub mod calendar;
pub mod canonical;
pub mod command;
pub mod document;
pub mod effect;
pub mod engine;
pub mod event;
pub mod flag;
pub mod gate;
pub mod id;
pub mod journal;
mod notice;
pub mod observation;
pub mod plan;
pub mod planner;
pub mod preflight;
pub mod project;
pub mod severity;
pub mod sizing;
pub mod state;
pub mod view;
