//! The tokenizer of RWKV World: at each place the longest token that the bytes go on with.
//!
//! Source: `rwkv_tokenizer.py` of RWKV-LM; `llm_tokenizer_rwkv` of llama.cpp.

use std::ops::Range;

use super::added::AddedTokens;

/// Tokens as bytes.
#[derive(Debug)]
pub(crate) struct LongestMatch {
    tokens: Vec<Vec<u8>>,
    /// Ids in the order of their bytes, empty ones left out.
    sorted: Vec<u32>,
    added: AddedTokens,
}

impl LongestMatch {
    pub(crate) fn new(tokens: Vec<Vec<u8>>, added: AddedTokens) -> Self {
        let ids = 0..tokens.len() as u32;
        let mut sorted: Vec<u32> = ids.filter(|id| !tokens[*id as usize].is_empty()).collect();
        sorted.sort_by_key(|id| &tokens[*id as usize]);
        Self {
            tokens,
            sorted,
            added,
        }
    }

    /// Ids and the bytes of the text that each stands for. A byte without a token has none.
    pub(crate) fn tokenize_with_offsets(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        let mut out = Vec::new();
        for (range, id) in self.added.split(text) {
            if let Some(id) = id {
                out.push((id, range));
                continue;
            }
            let mut at = range.start;
            while at < range.end {
                let found = self.longest(&text.as_bytes()[at..range.end]);
                let n_bytes = found.map_or(1, |id| self.tokens[id as usize].len());
                out.extend(found.map(|id| (id, at..at + n_bytes)));
                at += n_bytes;
            }
        }
        out
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn bytes_of(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice)
    }

    fn longest(&self, bytes: &[u8]) -> Option<u32> {
        let (mut range, mut best) = (self.sorted.as_slice(), None);
        for (depth, byte) in bytes.iter().enumerate() {
            let at = |id: &u32| self.tokens[*id as usize].get(depth);
            let from = range.partition_point(|id| at(id) < Some(byte));
            let to = range.partition_point(|id| at(id) <= Some(byte));
            range = &range[from..to];
            let Some(first) = range.first() else { break };
            if self.tokens[*first as usize].len() == depth + 1 {
                best = Some(*first);
            }
        }
        best
    }
}

/// Bytes of a token as GGUF files write it: `\t`, `\n`, `\r` and `\xE0` are bytes, another
/// escaped letter is itself.
pub(crate) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_is_taken_at_each_place() {
        let texts = ["", "a", "ab", "abc", "\\xe0", "\\xe0\\xb8", "b\\n", "\\\\"];
        let tokens = texts.iter().map(|text| unescaped(text).unwrap()).collect();
        let longest = LongestMatch::new(tokens, AddedTokens::new([("<x>".to_owned(), 9)]));
        let ids = |text: &str| -> Vec<u32> {
            let tokens = longest.tokenize_with_offsets(text);
            tokens.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids("abcab"), [3, 2]);
        assert_eq!(ids("aab\n"), [1, 2]);
        assert_eq!(ids("ab\n<x>b\n"), [2, 9, 6]);
        // ก is E0 B8 81: two bytes are a token, the third has none.
        assert_eq!(longest.tokenize_with_offsets("ก\\"), [(5, 0..2), (7, 3..4)]);
        assert_eq!(ids(""), [0; 0]);
        assert!(unescaped("\\xg0").is_none());
        assert!(unescaped("a\\").is_none());
    }
}
