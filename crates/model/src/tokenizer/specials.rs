//! Texts with the special tokens that encoders and encoder-decoders expect: what the
//! post-processor of `tokenizer.json` adds, and which of two texts a token is of.

use tokenizers::EncodeInput;

use super::{Engine, Tokenizer};

impl Tokenizer {
    /// Ids of a text or a pair of texts with all special tokens (`[CLS] … [SEP] … [SEP]`), and the
    /// type of each token; `None` for a pair where the tokenizer cannot join two.
    pub fn encode_with_specials(
        &self,
        text: &str,
        second: Option<&str>,
    ) -> Option<(Vec<u32>, Vec<u32>)> {
        let Engine::Hf { tokenizer, .. } = &self.engine else {
            let ids = self.encode_with_bos(text);
            let types = vec![0; ids.len()];
            return second.is_none().then_some((ids, types));
        };
        let input = match second {
            Some(second) => EncodeInput::from((text, second)),
            None => EncodeInput::from(text),
        };
        let encoding = tokenizer
            .encode_fast(input, true)
            .expect("models without an unknown token are refused when they are opened");
        Some((
            encoding.get_ids().to_vec(),
            encoding.get_type_ids().to_vec(),
        ))
    }
}
