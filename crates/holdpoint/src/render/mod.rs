//! How things look to a person: status, plan, the progress of a release, the summary of a
//! rehearsal. Everything here turns values into text; nothing reads, asks or decides.

pub mod checks;
pub mod excerpt;
pub mod measure;
pub mod probe;
pub mod progress;
pub mod rehearsal;
pub mod smoke;
pub mod status;
mod step_detail;
pub mod time;
mod waiting;

/// Whether colours are wanted, as <https://no-color.org> has it.
#[expect(clippy::disallowed_methods, reason = "a convention of terminals, read where it is used")]
pub fn colours_wanted() -> bool {
    std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}
