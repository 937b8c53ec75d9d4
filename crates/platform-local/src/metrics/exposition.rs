//! Writes Prometheus' text format (exposition format 0.0.4): a family's help and type, then its
//! series, with every value of a label escaped.

use std::fmt::{Display, Write as _};

use super::{family::Family, histogram::HistogramReading};

/// The labels of one series.
pub(super) type Labels<'a> = [(&'a str, &'a str)];

/// Text that grows by families.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    name: &'static str,
    /// Written before a family's first series: a family without any is left out.
    heading: Option<String>,
}

impl Exposition {
    /// Begins a family. Its series must follow at once.
    pub(super) fn family(&mut self, family: &Family) {
        let (name, kind) = (family.name, family.kind.as_str());
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        self.heading = Some(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self.name = name;
    }

    /// Writes a series of the family that was begun.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Writes a histogram of the family that was begun.
    pub(super) fn histogram(&mut self, labels: &Labels<'_>, reading: &HistogramReading) {
        for (bound, count) in &reading.cumulative {
            self.line("_bucket", labels, Some(bound), count);
        }
        self.line("_sum", labels, None, reading.sum_secs);
        self.line("_count", labels, None, reading.count);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &Labels<'_>,
        bound: Option<&str>,
        value: impl Display,
    ) {
        self.text.push_str(&self.heading.take().unwrap_or_default());
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.escaped(value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        if let Err(error) = writeln!(self.text, " {value}") {
            tracing::error!(%error, "a metric could not be written");
        }
    }

    fn escaped(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str(r"\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str(r"\n"),
                other => self.text.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::family::UP, *};

    #[test]
    fn what_stands_in_a_label_cannot_break_the_text() {
        let mut exposition = Exposition::default();
        exposition.family(&UP);
        exposition.sample(&[("app", "a\"b\\c\nd"), ("region", "local")], 1);
        exposition.sample(&[], 0.5);
        let text = exposition.finish();
        assert_eq!(
            text,
            "# HELP fly_instance_up 1 while the machine is `started`.\n\
             # TYPE fly_instance_up gauge\n\
             fly_instance_up{app=\"a\\\"b\\\\c\\nd\",region=\"local\"} 1\n\
             fly_instance_up 0.5\n"
        );
    }

    #[test]
    fn a_family_without_series_is_left_out() {
        let mut exposition = Exposition::default();
        exposition.family(&UP);
        assert_eq!(exposition.finish(), "");
    }
}
