//! Turns text into the tokens that are indexed and searched: English stems, without the words
//! that every question has.
//!
//! The same analysis serves articles and questions, so that both meet at the same tokens.

use std::collections::BTreeSet;

use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter,
    TextAnalyzer,
};

/// The name under which the index knows this analysis. It changes when the analysis does.
pub const ANALYZER: &str = "support_english_1";

/// Longer tokens are not words: hashes, pasted logs.
const MAX_TOKEN_BYTES: usize = 40;
/// A question keeps this many different tokens; a pasted mail has its point in the first ones.
const MAX_QUERY_TOKENS: usize = 64;

/// Words that say nothing about the subject of a question. Beside the usual English ones, those
/// with which customers frame a question.
#[rustfmt::skip]
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "and", "any", "are", "as", "at", "be", "because",
    "been", "but", "by", "can", "could", "did", "do", "does", "don", "for", "from", "get", "give",
    "go", "had", "has", "have", "hello", "help", "hi", "how", "i", "if", "in", "into", "is", "it",
    "its", "just", "know", "like", "ll", "long", "m", "make", "many", "may", "me", "more", "much", "must", "my",
    "need", "not", "of", "on", "one", "or", "our", "please", "re", "s", "should", "so", "some",
    "such", "t", "tell", "than", "thanks", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "us", "ve", "very", "want", "was", "we", "were",
    "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
];

/// The article, left out before letters are made small: in capitals it is a kind of fitting.
const LITTLE_AN: [&str; 2] = ["an", "An"];

/// The analysis as tantivy takes it.
pub fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(MAX_TOKEN_BYTES))
        .filter(StopWordFilter::remove(LITTLE_AN.map(str::to_owned)))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(StopWordFilter::remove(STOP_WORDS.iter().map(|word| (*word).to_owned())))
        .filter(Stemmer::new(tantivy::tokenizer::Language::English))
        .build()
}

/// The different tokens of a question, in the order in which they come first.
pub fn query_tokens(question: &str) -> Vec<String> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(question);
    let mut seen = BTreeSet::new();
    let mut tokens = Vec::new();
    while tokens.len() < MAX_QUERY_TOKENS && stream.advance() {
        let text = &stream.token().text;
        if seen.insert(text.clone()) {
            tokens.push(text.clone());
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_reduced_to_the_stems_of_its_subject() {
        assert_eq!(query_tokens("How do I return the fittings?"), ["return", "fit"]);
    }

    #[test]
    fn an_fittings_are_told_from_an_article() {
        assert_eq!(query_tokens("Is an AN thread metric?"), ["an", "thread", "metric"]);
    }

    #[test]
    fn search_syntax_is_only_text() {
        assert_eq!(
            query_tokens(r#"title:"fuel pump" AND -(E85) +*"#),
            ["titl", "fuel", "pump", "e85"]
        );
    }

    #[test]
    fn a_question_of_stop_words_has_no_tokens() {
        assert!(query_tokens("how do you do?").is_empty());
        assert!(query_tokens("").is_empty());
    }

    #[test]
    fn a_pasted_novel_is_cut() {
        let novel: Vec<_> = (0..500).map(|number| format!("word{number}")).collect();
        assert_eq!(query_tokens(&novel.join(" ")).len(), MAX_QUERY_TOKENS);
    }
}
