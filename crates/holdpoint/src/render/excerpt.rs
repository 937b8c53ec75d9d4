//! One finding about a file, drawn with the lines that it is about.

use std::fmt;
use std::io::IsTerminal;

use holdpoint_core::project::Severity;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use crate::project_file::Finding;

/// The width at which texts are broken.
const WIDTH_COLUMNS: usize = 100;

/// The finding as text, with colours on a terminal that wants them.
pub fn excerpt(finding: &Finding, source: &str) -> String {
    let colours = std::io::stderr().is_terminal() && super::colours_wanted();
    let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    draw(finding, source, theme)
}

fn draw(finding: &Finding, source: &str, theme: GraphicalTheme) -> String {
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH_COLUMNS)
        .with_links(false)
        .without_syntax_highlighting();
    let drawn = Drawn {
        finding,
        source: NamedSource::new(finding.file.to_string_lossy(), source.to_owned()),
    };
    let mut text = String::new();
    match handler.render_report(&mut text, &drawn) {
        Ok(()) => text,
        // a span that does not fit its text can't be drawn, and is still told
        Err(fmt::Error) => format!("{drawn}\n"),
    }
}

#[derive(Debug)]
struct Drawn<'a> {
    finding: &'a Finding,
    source: NamedSource<String>,
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.finding.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.finding.hint.as_ref()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        // nothing is to be seen in an empty file or in one that is not there
        (!self.source.inner().is_empty()).then_some(&self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.finding.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, span))))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_finding_shows_its_place_and_its_mend() {
        let source = "name = \"shop\"\nsoak = \"30 mins\"\n";
        let finding = Finding {
            file: PathBuf::from("holdpoint.toml"),
            severity: Severity::Error,
            line: 2,
            column: 8,
            span: 21..30,
            message: "`30 mins` is not a duration".to_owned(),
            hint: Some("write for example `30m`".to_owned()),
            fixable: false,
        };
        insta::assert_snapshot!(draw(&finding, source, GraphicalTheme::unicode_nocolor()));
    }
}
