//! How odd forms are read: a list or map that a Go server wrote as `null`, and
//! points in time written as text or as milliseconds.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// Reads `null` as the empty value, because Go writes empty lists and maps so.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a point in time written as RFC 3339 text or as milliseconds since the
/// epoch; anything else is read as absent, since no decision hangs on it.
pub(super) fn text_or_milliseconds<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Milliseconds(i64),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Text(text)) => text.parse().ok(),
        Some(Written::Milliseconds(milliseconds)) => Timestamp::from_millisecond(milliseconds).ok(),
        Some(Written::Other(_)) | None => None,
    })
}
