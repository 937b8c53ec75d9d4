//! What the core does in whole stories: a world goes in, a timeline comes out.

mod after_rollback;
mod company_calendars;
mod crash_points;
mod documents;
mod flags;
mod found_by_simulation;
mod incidents;
mod invariants;
mod preflight;
mod stories;
mod telling;
mod world;
