//! Regions as they are named in replays and in headers: codes, Fly's names of larger areas, and
//! lists of both in the order of preference. All machines are on this computer; their regions tell
//! them apart as whoever made them wished.

/// The word for every region.
pub(super) const ANY: &str = "any";

/// Names of one list that are read. Fly has fewer regions than that.
const NAMES_MAX: usize = 64;

/// The codes of an area by Fly's name for it.
fn area(name: &str) -> &'static [&'static str] {
    match name {
        "apac" => &["bom", "hkg", "mel", "nrt", "sin", "syd"],
        "eu" => &["ams", "arn", "cdg", "fra", "lhr", "mad", "otp", "waw"],
        "na" => &[
            "atl", "bos", "den", "dfw", "ewr", "gdl", "iad", "lax", "mia", "ord", "phx", "qro",
            "sea", "sjc", "yul", "yyz",
        ],
        "sa" => &["bog", "eze", "gig", "gru", "scl"],
        "us" | "usa" => {
            &["atl", "bos", "den", "dfw", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc"]
        }
        _ => &[],
    }
}

/// Reads a list such as `iad,ord,us`.
pub(super) fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.take(NAMES_MAX).map(str::to_ascii_lowercase).collect()
}

/// Whether a region is the one that a name means, or one of those.
pub(super) fn is_in(region: &str, name: &str) -> bool {
    name == ANY || name == region || area(name).contains(&region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_meant_by_its_code_its_area_and_by_any() {
        assert_eq!(list(" IAD, ord,,us "), ["iad", "ord", "us"]);
        assert!(is_in("ord", "ord") && is_in("ord", "us") && is_in("yyz", "na"));
        assert!(!is_in("yyz", "us") && !is_in("ord", "eu") && !is_in("local", "na"));
        assert!(is_in("local", ANY) && is_in("local", "local"));
    }
}
