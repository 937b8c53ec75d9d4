//! Whole releases by the real command on a real platform: what a user gets, also when things go
//! wrong and when somebody pulls the plug.

mod crash;
mod preflight;
mod rehearsal;
mod release;
mod trouble;
mod up;
mod world;
