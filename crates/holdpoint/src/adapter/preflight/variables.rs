//! The values of the environment variables that pre-flight's settings name. They are shown nowhere.

use secrecy::ExposeSecret as _;

use super::finding::Lack;
use crate::variables::Variables;

/// The value of one that must be set.
pub(super) fn required<'a>(variables: &'a Variables, name: &str) -> Result<&'a str, Lack> {
    let value = variables.get(name).map(|value| value.expose_secret().trim());
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        Lack::new(
            format!("the environment variable `{name}` is not set"),
            format!("set it where `holdpoint` is started: `export {name}=…`"),
        )
    })
}
