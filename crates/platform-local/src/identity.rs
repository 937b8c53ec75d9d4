//! Makes the identities that Fly makes: machine ids, names, versions, lease nonces.

use rand::RngExt as _;

const ADJECTIVES: [&str; 16] = [
    "autumn",
    "bitter",
    "bold",
    "broken",
    "calm",
    "cold",
    "crimson",
    "damp",
    "falling",
    "icy",
    "late",
    "lingering",
    "misty",
    "quiet",
    "silent",
    "summer",
];
const NOUNS: [&str; 16] = [
    "brook", "cloud", "dawn", "dew", "feather", "field", "fog", "forest", "frost", "glade", "leaf",
    "meadow", "moon", "river", "snow", "star",
];

/// A version of a machine, or any other identity that sorts by the time of its making: a ULID.
pub(crate) fn version() -> String {
    ulid::Ulid::generate().to_string()
}

/// A machine id: 14 lowercase hex characters.
pub(crate) fn machine_id() -> String {
    format!("{:014x}", rand::rng().random_range(0x10_0000_0000_0000..0x100_0000_0000_0000_u64))
}

/// A machine name: adjective, noun, number.
pub(crate) fn machine_name() -> String {
    let mut random = rand::rng();
    let mut word = |words: &[&'static str]| {
        let index = random.random_range(0..words.len());
        words.get(index).copied().unwrap_or("still")
    };
    let (adjective, noun) = (word(&ADJECTIVES), word(&NOUNS));
    format!("{adjective}-{noun}-{}", rand::rng().random_range(100..10_000))
}

/// A lease nonce: 12 lowercase hex characters.
pub(crate) fn nonce() -> String {
    format!("{:012x}", rand::rng().random_range(0..0x1_0000_0000_0000_u64))
}

/// A volume id: `vol_` and 17 lowercase characters and digits.
pub(crate) fn volume_id() -> String {
    let mut random = rand::rng();
    let mut letter = || match random.random_range(0..36_u8) {
        digit @ 0..10 => char::from(b'0' + digit),
        letter => char::from(b'a' + letter - 10),
    };
    format!("vol_{}", (0..17).map(|_| letter()).collect::<String>())
}

/// A piece of an address of version 6.
pub(crate) fn address_part() -> String {
    format!("{:x}", rand::rng().random_range(0x1000..0x1_0000_u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_the_shape_that_clients_expect() {
        for _ in 0..100 {
            assert_eq!(machine_id().len(), 14);
            assert_eq!(nonce().len(), 12);
            assert_eq!(version().len(), 26);
            assert_eq!(volume_id().len(), 21);
            assert_eq!(machine_name().split('-').count(), 3);
        }
    }
}
