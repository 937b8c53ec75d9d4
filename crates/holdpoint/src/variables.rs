//! The environment variables that a project's file may name as the places of its secrets. Their
//! values are wrapped, so that nothing prints one by accident.

use std::collections::BTreeMap;
use std::env;

use secrecy::SecretString;

/// The environment as it was when the process looked at it.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, SecretString>);

impl Variables {
    /// Those of this process. Values that are no text are left out.
    pub fn of_process() -> Self {
        let all = env::vars_os();
        let texts = all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        texts.collect()
    }

    /// The values of variables whose names say that they are secrets.
    pub fn telling(&self) -> Vec<SecretString> {
        let telling = |name: &str| {
            let parts = ["SECRET", "TOKEN", "PASSWORD", "KEY", "WEBHOOK", "DATABASE_URL"];
            parts.iter().any(|part| name.to_ascii_uppercase().contains(part))
        };
        self.0.iter().filter(|(name, _)| telling(name)).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let named = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let set = named.filter(|(_, value)| !value.is_empty());
        Self(set.map(|(name, value)| (name, SecretString::from(value))).collect())
    }
}
