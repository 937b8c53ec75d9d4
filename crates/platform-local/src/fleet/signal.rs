//! The signals that a machine's program can be sent, by their names or numbers.

use rustix::process::Signal;

/// The signal of this name (`SIGTERM`, `TERM`) or number (`15`).
pub(super) fn of(text: &str) -> Option<Signal> {
    let name = text.trim().to_ascii_uppercase();
    let signal = match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" | "1" => Signal::HUP,
        "INT" | "2" => Signal::INT,
        "QUIT" | "3" => Signal::QUIT,
        "ILL" | "4" => Signal::ILL,
        "TRAP" | "5" => Signal::TRAP,
        "FPE" | "8" => Signal::FPE,
        "ABRT" | "6" => Signal::ABORT,
        "KILL" | "9" => Signal::KILL,
        "USR1" | "10" => Signal::USR1,
        "SEGV" | "11" => Signal::SEGV,
        "USR2" | "12" => Signal::USR2,
        "PIPE" | "13" => Signal::PIPE,
        "ALRM" | "14" => Signal::ALARM,
        "TERM" | "15" => Signal::TERM,
        "CONT" | "18" => Signal::CONT,
        "STOP" | "19" => Signal::STOP,
        _ => return None,
    };
    Some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        for text in ["SIGTERM", "term", "15"] {
            assert_eq!(of(text), Some(Signal::TERM), "{text}");
        }
        assert_eq!(of("SIGWHAT"), None);
    }
}
