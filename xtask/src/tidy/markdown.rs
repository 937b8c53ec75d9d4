//! Rules for Markdown files.

use super::Finding;

pub(super) fn findings(path: &str, text: &str) -> Vec<Finding> {
    let is_markdown = std::path::Path::new(path).extension().is_some_and(|end| end == "md");
    if !is_markdown {
        return Vec::new();
    }
    let titles = title_lines(text);
    if titles.len() == 1 {
        return Vec::new();
    }
    vec![Finding {
        file: path.to_owned(),
        line: titles.get(1).copied().unwrap_or(1),
        what: format!("{} titles", titles.len()),
        why: "a page is about one thing",
        mend: "leave exactly one line that begins with `# `",
    }]
}

/// Titles inside fenced code are not titles.
fn title_lines(text: &str) -> Vec<usize> {
    let mut is_code = false;
    let mut titles = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && line.starts_with("# ") {
            titles.push(index + 1);
        }
    }
    titles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_title() {
        assert_eq!(findings("a.md", "# one\n\n```sh\n# a comment\n```\n"), []);
        assert_eq!(findings("a.md", "text\n").len(), 1);
        let second: Vec<_> = findings("a.md", "# one\n# two\n").iter().map(|f| f.line).collect();
        assert_eq!(second, [2]);
        assert_eq!(findings("a.rs", "text\n"), []);
    }
}
