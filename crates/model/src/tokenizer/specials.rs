//! Texts with the special tokens that encoders and encoder-decoders expect: what the
//! post-processor of `tokenizer.json` adds, or the rules of a SentencePiece model's class or of a
//! GGUF file, and which of two texts a token is of.

use tokenizers::EncodeInput;

use super::{Engine, Tokenizer};

impl Tokenizer {
    /// Ids of a text or a pair of texts with all special tokens (`[CLS] … [SEP] … [SEP]`,
    /// `… </s>`), and the type of each token; `None` for a pair where the tokenizer cannot join
    /// two.
    pub fn encode_with_specials(
        &self,
        text: &str,
        second: Option<&str>,
    ) -> Option<(Vec<u32>, Vec<u32>)> {
        if let Engine::Hf { tokenizer, .. } = &self.engine
            && tokenizer.get_post_processor().is_some()
        {
            let input = match second {
                Some(second) => EncodeInput::from((text, second)),
                None => EncodeInput::from(text),
            };
            let encoding = tokenizer
                .encode_fast(input, true)
                .expect("models without an unknown token are refused when they are opened");
            return Some((
                encoding.get_ids().to_vec(),
                encoding.get_type_ids().to_vec(),
            ));
        }
        let mut ids = self.encode_with_bos(text);
        ids.extend(&self.after);
        let mut types = vec![0; ids.len()];
        if let Some(second) = second {
            // Byte pairs with a space before each text have nothing to tell two apart by.
            let is_joined = matches!(self.engine, Engine::Hf { .. }) || !self.after.is_empty();
            if !is_joined {
                return None;
            }
            ids.extend(&self.between);
            types.resize(ids.len(), 0);
            ids.extend(self.tokenize(second));
            ids.extend(&self.after);
            // XLM-R, which parts them by a token of its own, knows one type only.
            types.resize(ids.len(), u32::from(self.between.is_empty()));
        }
        Some((ids, types))
    }
}
