//! Cuts a Markdown article into passages along its headings.
//!
//! A passage is a run of whole paragraphs under one heading, short enough to quote. Its range
//! points into the article, so that a citation can be checked. It does not read files.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

/// A passage is closed when its next paragraph would pass this length. About 200 words: long
/// enough to answer, short enough that twenty of them stay under the limits of MCP clients.
const MAX_PASSAGE_CHARS: usize = 1_200;

/// A quotable part of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The headings above it, from the outermost below the title, joined by ` › `; empty for
    /// text directly under the title.
    pub heading: String,
    /// Where it stands in the article, in characters (Unicode scalar values).
    pub range: Range<usize>,
    /// The text of that range.
    pub text: String,
}

/// An article cut up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The first heading of the first level, or the file's name when there is none.
    pub title: String,
    /// In the order of the text.
    pub passages: Vec<Passage>,
}

/// Cuts `text`, the article at `path`.
///
/// Headings without text below them give no passage. A single paragraph longer than the limit
/// is cut between words.
pub fn outline(path: &str, text: &str) -> Outline {
    let mut cutter = Cutter::new(text);
    let mut depth = 0_usize;
    let mut heading: Option<(usize, String)> = None;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        if let Event::Start(tag) = &event {
            if depth == 0 {
                if let Tag::Heading { level, .. } = tag {
                    heading = Some((*level as usize, String::new()));
                } else {
                    cutter.block(range);
                }
            }
            depth += 1;
        } else if let Event::End(_) = &event {
            depth = depth.saturating_sub(1);
            if depth == 0
                && let Some((level, words)) = heading.take()
            {
                cutter.heading(level, words.trim());
            }
        } else if let Event::Text(words) | Event::Code(words) = &event
            && let Some((_, text)) = heading.as_mut()
        {
            text.push_str(words);
        }
    }
    cutter.close();
    let title = cutter.title.unwrap_or_else(|| file_stem(path));
    Outline { title, passages: cutter.passages }
}

struct Cutter<'a> {
    text: &'a str,
    title: Option<String>,
    /// Level and words of the headings above the current place, below the title.
    trail: Vec<(usize, String)>,
    /// Bytes of the passage being gathered.
    open: Option<Range<usize>>,
    passages: Vec<Passage>,
    /// A byte offset and its character offset, up to which characters have been counted.
    counted: (usize, usize),
}

impl<'a> Cutter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            title: None,
            trail: Vec::new(),
            open: None,
            passages: Vec::new(),
            counted: (0, 0),
        }
    }

    fn heading(&mut self, level: usize, words: &str) {
        self.close();
        if level == 1 && self.title.is_none() && !words.is_empty() {
            self.title = Some(words.to_owned());
            return;
        }
        self.trail.retain(|(above, _)| *above < level);
        self.trail.push((level, words.to_owned()));
    }

    fn block(&mut self, range: Range<usize>) {
        let joined = self.open.as_ref().map_or(range.start, |open| open.start)..range.end;
        if self.slice(&joined).chars().count() > MAX_PASSAGE_CHARS {
            self.close();
            self.open = Some(range);
        } else {
            self.open = Some(joined);
        }
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        while self.slice(&open).chars().count() > MAX_PASSAGE_CHARS {
            let cut = self.cut_between_words(&open);
            self.push(open.start..cut);
            open.start = cut;
        }
        self.push(open);
    }

    /// The byte at which the first part of `open`, short enough for one passage, ends.
    fn cut_between_words(&self, open: &Range<usize>) -> usize {
        let part = self.slice(open);
        let longest =
            part.char_indices().nth(MAX_PASSAGE_CHARS).map_or(part.len(), |(byte, _)| byte);
        let head = part.get(..longest).unwrap_or(part);
        let cut = head.rfind(char::is_whitespace).filter(|cut| *cut > 0).unwrap_or(longest);
        open.start + cut
    }

    fn push(&mut self, range: Range<usize>) {
        let whole = self.slice(&range);
        let start = range.start + (whole.len() - whole.trim_start().len());
        let text = whole.trim();
        if text.is_empty() {
            return;
        }
        let first = self.characters_before(start);
        let count = text.chars().count();
        let heading: Vec<&str> = self.trail.iter().map(|(_, words)| words.as_str()).collect();
        let heading = heading.join(" › ");
        self.passages.push(Passage { heading, range: first..first + count, text: text.to_owned() });
    }

    /// Passages come in order, so counting goes on from the last one.
    fn characters_before(&mut self, byte: usize) -> usize {
        let (counted_byte, counted_chars) = self.counted;
        let chars = counted_chars + self.slice(&(counted_byte..byte)).chars().count();
        self.counted = (byte, chars);
        chars
    }

    fn slice(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

fn file_stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".md").unwrap_or(name).replace(['-', '_'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_heading_opens_a_passage_under_its_trail() {
        let text = "# Pumps\n\nIntro.\n\n## Wiring\n\nUse a relay.\n\n### Fuse\n\n20 A.\n\n## Noise\n\nMount it soft.\n";
        let outline = outline("pumps.md", text);
        assert_eq!(outline.title, "Pumps");
        let found: Vec<_> =
            outline.passages.iter().map(|p| (p.heading.as_str(), p.text.as_str())).collect();
        assert_eq!(
            found,
            [
                ("", "Intro."),
                ("Wiring", "Use a relay."),
                ("Wiring › Fuse", "20 A."),
                ("Noise", "Mount it soft."),
            ]
        );
    }

    #[test]
    fn ranges_point_at_the_text_in_characters() {
        let text = "# Größe\n\nFünf – oder mehr.\n\n## Maß\n\n- 3/8″\n- 1/2″ ✓\n";
        let outline = outline("size.md", text);
        assert_eq!(outline.passages.len(), 2);
        for passage in &outline.passages {
            let quoted: String =
                text.chars().skip(passage.range.start).take(passage.range.len()).collect();
            assert_eq!(quoted, passage.text);
        }
    }

    #[test]
    fn a_hash_inside_a_code_block_is_no_heading() {
        let outline = outline("a.md", "# A\n\n```\n# not a heading\n```\n");
        assert_eq!(outline.passages.len(), 1);
        assert_eq!(outline.passages[0].heading, "");
    }

    #[test]
    fn long_sections_are_cut_between_paragraphs_and_long_paragraphs_between_words() {
        let paragraph = "word ".repeat(150);
        let text = format!("# A\n\n{paragraph}\n\n{paragraph}\n\n{}\n", "word ".repeat(600));
        let outline = outline("a.md", &text);
        assert!(outline.passages.len() >= 4);
        for passage in &outline.passages {
            assert!(passage.text.chars().count() <= MAX_PASSAGE_CHARS);
            assert!(passage.text.starts_with("word") && passage.text.ends_with("word"));
        }
    }

    #[test]
    fn an_article_without_a_title_is_named_by_its_file() {
        assert_eq!(outline("a/order-changes.md", "Text.").title, "order changes");
        assert!(outline("a.md", "").passages.is_empty());
    }
}
