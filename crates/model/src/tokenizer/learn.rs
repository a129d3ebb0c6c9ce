//! A new tokenizer from texts: byte-level BPE, as GPT-2's, with one special token `<s>` that begins
//! every text.
//!
//! ```
//! use isogloss_model::tokenizer::Tokenizer;
//! use isogloss_model::tokenizer::learn::byte_level_bpe;
//! let json = byte_level_bpe(["kaixo mundua", "kaixo denoi"], 300)?;
//! let tokenizer = Tokenizer::of_json_bytes(json.as_bytes(), serde_json::Value::Null)?;
//! assert_eq!(tokenizer.decode(&tokenizer.tokenize("kaixo, Ελλάδα")), "kaixo, Ελλάδα");
//! # Ok::<(), isogloss_model::tokenizer::TokenizerError>(())
//! ```

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, TokenizerBuilder};
use tokenizers::{NormalizerWrapper, PostProcessorWrapper};

use super::TokenizerError;
use super::error::damaged;

/// The token that begins every text.
pub const BEGIN: &str = "<s>";

/// Its id: the first piece.
pub const BEGIN_ID: u32 = 0;

/// Contents of a `tokenizer.json` of at most `n_pieces` pieces (all 256 bytes are among them, so no
/// text is unknown). The same texts in the same order give the same bytes.
///
/// # Errors
/// [`TokenizerError`] where the pieces cannot be learned.
pub fn byte_level_bpe<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    n_pieces: usize,
) -> Result<String, TokenizerError> {
    let failed = |error: tokenizers::Error| {
        let path = Path::new("tokenizer.json");
        damaged(
            path,
            "the texts",
            "texts to learn pieces from",
            &error.to_string(),
        )
    };
    let mut trainer = BpeTrainer::builder()
        .vocab_size(n_pieces)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(BEGIN, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let begin = TemplateProcessing::builder()
        .try_single(format!("{BEGIN} $A"))
        .and_then(|builder| builder.try_pair(format!("{BEGIN} $A $B:1")))
        .map_err(|error| failed(error.into()))?
        .special_tokens(vec![(BEGIN, BEGIN_ID)])
        .build()
        .map_err(|error| failed(error.to_string().into()))?;
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        ByteLevel,
        PostProcessorWrapper,
        ByteLevel,
    >::default()
    .with_model(BPE::default())
    .with_normalizer(None)
    .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
    .with_post_processor(Some(PostProcessorWrapper::from(begin)))
    .with_decoder(Some(ByteLevel::default()))
    .build()
    .map_err(failed)?;
    let texts: Vec<&str> = texts.into_iter().collect();
    tokenizer
        .train(&mut trainer, texts.into_iter())
        .map_err(failed)?;
    tokenizer.to_string(false).map_err(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::tokenizer::Tokenizer;

    #[test]
    fn pieces_are_learned_and_every_text_comes_back() {
        let texts = [
            "the dialog box, the dialog",
            "το πλαίσιο διαλόγου",
            "диалоговое окно",
        ];
        let json = byte_level_bpe(texts, 320).unwrap();
        assert_eq!(json, byte_level_bpe(texts, 320).unwrap());
        let tokenizer = Tokenizer::of_json_bytes(json.as_bytes(), Value::Null).unwrap();
        // Frequent letters have become one piece: fewer tokens than bytes.
        assert!(tokenizer.tokenize("dialog").len() < 4);
        for text in [
            "the dialog",
            "नमस्ते दुनिया",
            "สวัสดีชาวโลก",
            "人人生而自由",
            "السلام عليكم",
            "Cafe\u{301}",
        ] {
            assert_eq!(tokenizer.decode(&tokenizer.tokenize(text)), text);
        }
        let (ids, _) = tokenizer.encode_with_specials("the", None).unwrap();
        assert_eq!(ids[0], 0);
        // No text: the 256 bytes and `<s>`.
        let bare = byte_level_bpe([], 400).unwrap();
        let bare = Tokenizer::of_json_bytes(bare.as_bytes(), Value::Null).unwrap();
        assert_eq!(bare.tokenize("abc").len(), 3);
    }
}
