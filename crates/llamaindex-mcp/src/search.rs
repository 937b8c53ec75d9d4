//! Answers a question with passages: BM25 over title, headings and text, and silence when
//! nothing fits.
//!
//! A question is only ever a list of tokens, never query syntax. It does not remember what was
//! asked (`telemetry`).

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, DisjunctionMaxQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{TantivyError, Term};

use crate::analysis;
use crate::index::{Fields, Index, StoredPassage};

/// Passages below this score are left out; when none is left, the answer is an abstention.
///
/// Calibrated on `tests/questions.json`, see the test there: the questions that the corpus
/// answers score above it, foreign ones (recipes, football, weather) below. A lower bound lets
/// foreign questions through, a higher one silences short or oddly worded real ones.
pub const ABSTAIN_BELOW: f32 = 0.3;

/// A word in the title says most about what a passage is for, one in a heading more than one in
/// the text. Measured on the same questions.
const TITLE_BOOST: f32 = 2.0;
const HEADING_BOOST: f32 = 1.5;
const TEXT_BOOST: f32 = 1.0;
/// How much a word counts again that stands in several fields.
const TIE_BREAKER: f32 = 0.3;

/// What was found for a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Best first; empty when the service abstains.
    pub passages: Vec<ScoredPassage>,
    /// Score of the best passage, even of one that was left out; 0 when no word was found.
    pub best_score: f32,
}

/// A passage and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredPassage {
    /// The passage.
    pub passage: StoredPassage,
    /// Its share of the score of an ideal passage, in which every word of the question is
    /// prominent; comparable between questions.
    pub score: f32,
}

impl Answer {
    /// Whether nothing fits well enough to be quoted.
    pub fn abstained(&self) -> bool {
        self.passages.is_empty()
    }
}

/// The best `limit` passages for `question`.
///
/// # Errors
/// When the files under the index cannot be read any more.
pub fn search(index: &Index, question: &str, limit: usize) -> Result<Answer, TantivyError> {
    let tokens = analysis::query_tokens(question);
    let none = Answer { passages: Vec::new(), best_score: 0.0 };
    if tokens.is_empty() || limit == 0 {
        return Ok(none);
    }
    let ideal = ideal_score(index, &tokens)?;
    let query = query(index.fields(), &tokens);
    let hits = index.searcher().search(&query, &TopDocs::with_limit(limit).order_by_score())?;
    let mut answer = none;
    for (score, address) in hits {
        let score = score / ideal;
        answer.best_score = answer.best_score.max(score);
        if score >= ABSTAIN_BELOW {
            answer.passages.push(ScoredPassage { passage: index.passage(address)?, score });
        }
    }
    Ok(answer)
}

/// Any of the tokens, each where it fits best.
fn query(fields: Fields, tokens: &[String]) -> BooleanQuery {
    let clauses = tokens
        .iter()
        .map(|token| {
            let fields = boosted(fields)
                .into_iter()
                .map(|(field, boost)| {
                    let term = Term::from_field_text(field, token);
                    let term = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
                    Box::new(BoostQuery::new(term, boost)) as Box<dyn Query>
                })
                .collect();
            let anywhere = DisjunctionMaxQuery::with_tie_breaker(fields, TIE_BREAKER);
            (Occur::Should, Box::new(anywhere) as Box<dyn Query>)
        })
        .collect();
    BooleanQuery::new(clauses)
}

fn boosted(fields: Fields) -> [(Field, f32); 3] {
    [(fields.title, TITLE_BOOST), (fields.heading, HEADING_BOOST), (fields.text, TEXT_BOOST)]
}

/// The sum of what each token weighs by its rarity. A word that the articles never use weighs as
/// much as the rarest, so a question about something else cannot reach a high share.
fn ideal_score(index: &Index, tokens: &[String]) -> Result<f32, TantivyError> {
    let searcher = index.searcher();
    let passages = count(searcher.num_docs());
    let mut sum = 0.0;
    for token in tokens {
        let mut most = 0;
        for (field, _) in boosted(index.fields()) {
            most = most.max(searcher.doc_freq(&Term::from_field_text(field, token))?);
        }
        let with_token = count(most);
        sum += (1.0 + (passages - with_token + 0.5) / (with_token + 0.5)).ln();
    }
    // BM25 with tantivy's k1 = 1.2 tends to k1 + 1 times the rarity for a word said often.
    Ok(sum.max(f32::MIN_POSITIVE) * 2.2)
}

#[expect(clippy::cast_precision_loss, reason = "counts of passages, far below 2^24")]
fn count(passages: u64) -> f32 {
    passages as f32
}
