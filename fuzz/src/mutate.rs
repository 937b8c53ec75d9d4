//! Makes new inputs from seeds: lines and words are moved, doubled and replaced, bytes are broken.
//! It knows the words of all seeds, and values that readers like to stumble over.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// Longer inputs find little that shorter ones don't, and take their time.
const BYTES_MAX: usize = 1 << 16;

/// Edits of one input.
const EDITS_MAX: usize = 8;

const ODD: &[&str] = &[
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "0x7f",
    "1.5",
    "true",
    "null",
    "\"\"",
    "\"'\"",
    "[]",
    "[[",
    "]]",
    "{}",
    "[{}]",
    "{a = 1}",
    "''",
    "\"\"\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    " ",
    "=",
    ".",
    "#",
    "# word",
    ",",
    "..",
    "../..",
    "/",
    "%2e%2e",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "99999999999999999999",
    "4294967296",
    "65536",
    "\"15s\"",
    "\"0s\"",
    "\"9999999999999999999h\"",
    "\"1gb\"",
    "\"\u{e4}\u{1f600}\"",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "1979-05-27T07:32:00Z",
    "\"\\u0000\"",
    "'a' 'b'",
    "$a",
    "!",
    "@skip(if: true)",
    "...",
    "{",
    "}",
    "__typename",
];

/// A source of inputs; the same number gives the same ones.
pub(crate) struct Mutator {
    random: StdRng,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: &[Vec<u8>]) -> Self {
        let mut words = BTreeSet::new();
        for seed in seeds {
            words.extend(seed.split(|byte| !is_word(*byte)).map(<[u8]>::to_vec));
        }
        words.extend(ODD.iter().map(|odd| odd.as_bytes().to_vec()));
        Self { random: StdRng::seed_from_u64(seed), words: words.into_iter().collect() }
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, options: &'a [T]) -> &'a T {
        let index = self.below(options.len());
        options.get(index).expect("there is always an option")
    }

    /// A text of lines and words, changed in a few places.
    pub(crate) fn text(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut text = self.pick(seeds).clone();
        for _ in 0..=self.below(EDITS_MAX) {
            match self.below(6) {
                0..=2 => self.change_word(&mut text),
                3..=4 => self.change_line(&mut text, seeds),
                _ => self.change_bytes(&mut text),
            }
        }
        text.truncate(BYTES_MAX);
        text
    }

    /// Bytes, changed in a few places.
    pub(crate) fn bytes(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(seeds).clone();
        for _ in 0..=self.below(EDITS_MAX) {
            self.change_bytes(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    /// Changes one value somewhere in the document, or its name.
    pub(crate) fn json(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.one_in(6) => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let name = self.pick(&names).clone();
                match self.below(8) {
                    0 => drop(fields.remove(&name)),
                    1 => {
                        let moved = fields.remove(&name).unwrap_or_default();
                        fields.insert(self.word_as_text(), moved);
                    }
                    2 => {
                        let copy = fields.get(&name).cloned().unwrap_or_default();
                        fields.insert(self.word_as_text(), copy);
                    }
                    _ => fields
                        .values_mut()
                        .nth(self.below(names.len()))
                        .into_iter()
                        .for_each(|inner| self.json(inner)),
                }
            }
            Value::Array(entries) if !entries.is_empty() && !self.one_in(6) => {
                let index = self.below(entries.len());
                match self.below(4) {
                    0 => drop(entries.remove(index)),
                    1 => entries.extend(entries.get(index).cloned()),
                    _ => entries.get_mut(index).into_iter().for_each(|inner| self.json(inner)),
                }
            }
            Value::String(text) if !self.one_in(3) => {
                let mut bytes = std::mem::take(text).into_bytes();
                self.change_word(&mut bytes);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => *value = self.odd_json(value),
        }
    }

    fn odd_json(&mut self, old: &Value) -> Value {
        match self.below(8) {
            0 => Value::Array(vec![old.clone()]),
            1 => Value::Array(vec![Value::Null; self.below(300)]),
            2 => serde_json::json!({ self.word_as_text(): old }),
            3 => self.word_as_text().repeat(self.below(2000)).into(),
            4 => self.random.random::<i64>().into(),
            5 => self.word_as_text().into(),
            _ => serde_json::from_str(&self.word_as_text()).unwrap_or_default(),
        }
    }

    fn word_as_text(&mut self) -> String {
        let index = self.below(self.words.len());
        let word = self.words.get(index).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(word).into_owned()
    }

    fn change_word(&mut self, text: &mut Vec<u8>) {
        let start = self.below(text.len() + 1);
        let start = (0..start).rev().find(|at| !text.get(*at).is_some_and(|it| is_word(*it)));
        let start = start.map_or(0, |before| before + 1);
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        let index = self.below(self.words.len());
        let word = self.words.get(index).cloned().unwrap_or_default();
        // Instead of a word, or before it.
        let end = if self.one_in(4) { start } else { start + length };
        text.splice(start..end, word);
    }

    fn change_line(&mut self, text: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let mut lines: Vec<Vec<u8>> =
            text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (one, other) = (self.below(lines.len() + 1), self.below(lines.len() + 1));
        match self.below(4) {
            0 if one < lines.len() => drop(lines.remove(one)),
            1 if one < lines.len() && other < lines.len() => lines.swap(one, other),
            2 if one < lines.len() => {
                let copy = lines.get(one).cloned().unwrap_or_default();
                lines.insert(other, copy);
            }
            _ => {
                let strange = self.pick(seeds);
                let strange: Vec<&[u8]> = strange.split_inclusive(|byte| *byte == b'\n').collect();
                if !strange.is_empty() {
                    lines.insert(one, self.pick(&strange).to_vec());
                }
            }
        }
        *text = lines.concat();
    }

    fn change_bytes(&mut self, bytes: &mut Vec<u8>) {
        let (one, other) = (self.below(bytes.len() + 1), self.below(bytes.len() + 1));
        let (start, end) = (one.min(other), one.max(other));
        match self.below(8) {
            0 => drop(bytes.drain(start..end.min(start + 600))),
            1 => {
                let piece = bytes.get(start..end.min(start + 600)).unwrap_or_default().to_vec();
                bytes.splice(start..start, piece);
            }
            2 => bytes.truncate(one),
            3 => bytes.insert(one, self.random.random()),
            _ => {
                let byte: u8 = self.random.random();
                if let Some(place) = bytes.get_mut(one) {
                    // Often only a little.
                    *place = if byte < 128 { byte } else { *place ^ (1 << (byte % 8)) };
                }
            }
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { self.random.random_range(0..limit) }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let seeds = vec![b"[a]\nkey = 1\n".to_vec()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, &seeds);
            (0..50).map(|_| mutator.text(&seeds)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
