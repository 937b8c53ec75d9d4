//! Values that checks need and nobody may see: they are taken out of whatever is told. It does
//! not read them.

use std::collections::BTreeMap;
use std::fmt;

use holdpoint_core::project::SmokeCheck;
use holdpoint_core::project::smoke::template;
use secrecy::ExposeSecret;

use super::StepReport;
use crate::variables::Variables;

/// Values of the conductor's environment, by their names.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Those that the checks need; what is not set is left out.
    pub fn of(checks: &[SmokeCheck], variables: &Variables) -> Self {
        let names = checks.iter().flat_map(SmokeCheck::secrets);
        let values = names.filter_map(|name| {
            let value = variables.get(&name)?.expose_secret().to_owned();
            Some((name, value))
        });
        Self(values.collect())
    }

    /// The value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The report without any of the values, however a request would have spelt them.
    pub(super) fn removed_from(&self, report: StepReport) -> StepReport {
        let StepReport { step, passed, asked, found, hint, took_ms } = report;
        let (asked, found) = (self.removed(&asked), self.removed(&found));
        let hint = hint.map(|hint| self.removed(&hint));
        StepReport { step, passed, asked, found, hint, took_ms }
    }

    fn removed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            for spelt in
                [template::as_it_is(value), template::as_json(value), template::as_path(value)]
            {
                text = text.replace(&spelt, &format!("{{env:{name}}}"));
            }
        }
        text
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_nowhere_however_it_is_spelt() {
        let secrets = Secrets([("KEY".to_owned(), "a \"b\"/c".to_owned())].into());
        let told = "a \"b\"/c {\"k\":\"a \\\"b\\\"/c\"} /x?k=a%20%22b%22%2Fc";
        assert_eq!(secrets.removed(told), "{env:KEY} {\"k\":\"{env:KEY}\"} /x?k={env:KEY}");
        assert_eq!(format!("{secrets:?}"), "{\"KEY\"}");
    }
}
