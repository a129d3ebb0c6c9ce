//! What a tensor of an adapter is, by its name.
//!
//! ```text
//! base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight
//! \_ prefix _____/ \_ module, as in the model ___/ \_ role ____/
//! ```
//! Old files have the adapter's own name in them: `lora_A.default.weight`,
//! `modules_to_save.default.weight`.

/// What a tensor does to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// `[r, n_in]`.
    A,
    /// `[n_out, r]`.
    B,
    /// `[r, n_rows]` of an embedding.
    EmbeddingA,
    /// `[d_model, r]` of an embedding.
    EmbeddingB,
    /// Lengths of rows (of an embedding: of columns) after DoRA.
    Magnitude,
    /// New values of some rows of an embedding.
    Rows,
    /// Takes the place of the model's own tensor, `weight` or `bias`.
    Whole {
        /// Whether it takes the place of what lies under another change.
        below: bool,
    },
}

impl Role {
    /// What stands behind the module's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::A => "lora_A.weight",
            Self::B => "lora_B.weight",
            Self::EmbeddingA => "lora_embedding_A",
            Self::EmbeddingB => "lora_embedding_B",
            Self::Magnitude => "lora_magnitude_vector",
            Self::Rows => "token_adapter.trainable_tokens_delta",
            Self::Whole { .. } => "weight",
        }
    }
}

/// Module and role of a stored tensor; of [`Role::Whole`], module and kind (`lm_head.weight`).
/// `None` for a name that says nothing.
pub(super) fn parse(stored: &str) -> Option<(String, Role)> {
    let name = stored.strip_prefix("base_model.model.").unwrap_or(stored);
    for (mark, role) in [
        (".lora_A", Role::A),
        (".lora_B", Role::B),
        (".lora_embedding_A", Role::EmbeddingA),
        (".lora_embedding_B", Role::EmbeddingB),
        (".lora_magnitude_vector", Role::Magnitude),
        (".token_adapter.trainable_tokens_delta", Role::Rows),
        (".trainable_tokens_delta", Role::Rows),
    ] {
        let Some((module, rest)) = name.split_once(mark) else {
            continue;
        };
        // Nothing, `.weight`, `.ADAPTER` or `.ADAPTER.weight`; not the bias of a low-rank layer.
        let rest = rest.strip_suffix(".weight").unwrap_or(rest);
        let is_adapter_name =
            |name: &str| !name.is_empty() && !name.contains('.') && name != "bias";
        let known = rest.is_empty() || rest.strip_prefix('.').is_some_and(is_adapter_name);
        return (known && !module.is_empty()).then(|| (module.to_owned(), role));
    }
    let (module, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let (module, below) = match module.strip_suffix(".base_layer") {
        Some(module) => (module, true),
        None => (module, false),
    };
    let module = match module.split_once(".modules_to_save") {
        Some((module, rest)) => {
            let adapter = rest.strip_prefix('.').unwrap_or(rest);
            if adapter.contains('.') {
                return None;
            }
            module
        }
        None => module,
    };
    (!module.is_empty() && !module.contains("lora_"))
        .then(|| (format!("{module}.{kind}"), Role::Whole { below }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_old_spellings() {
        let whole = |below| Role::Whole { below };
        for (stored, module, role) in [
            (
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                "model.layers.0.self_attn.q_proj",
                Role::A,
            ),
            (
                "base_model.model.h.0.attn.c_attn.lora_B.default.weight",
                "h.0.attn.c_attn",
                Role::B,
            ),
            (
                "base_model.model.transformer.wte.lora_embedding_A",
                "transformer.wte",
                Role::EmbeddingA,
            ),
            (
                "base_model.model.transformer.wte.lora_embedding_B.sw",
                "transformer.wte",
                Role::EmbeddingB,
            ),
            (
                "base_model.model.m.lora_magnitude_vector",
                "m",
                Role::Magnitude,
            ),
            (
                "base_model.model.m.lora_magnitude_vector.default.weight",
                "m",
                Role::Magnitude,
            ),
            (
                "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
                "model.embed_tokens",
                Role::Rows,
            ),
            (
                "base_model.model.model.embed_tokens.trainable_tokens_delta.default",
                "model.embed_tokens",
                Role::Rows,
            ),
            (
                "base_model.model.lm_head.weight",
                "lm_head.weight",
                whole(false),
            ),
            (
                "base_model.model.lm_head.modules_to_save.default.weight",
                "lm_head.weight",
                whole(false),
            ),
            (
                "base_model.model.lm_head.modules_to_save.weight",
                "lm_head.weight",
                whole(false),
            ),
            (
                "base_model.model.m.q_proj.base_layer.bias",
                "m.q_proj.bias",
                whole(true),
            ),
            ("lm_head.bias", "lm_head.bias", whole(false)),
        ] {
            assert_eq!(parse(stored), Some((module.into(), role)), "{stored}");
        }
        for stored in [
            "",
            "weight",
            ".lora_A.weight",
            "base_model.model.m.lora_B.bias",
            "base_model.model.m.lora_B.default.bias",
            "base_model.model.m.lora_E",
            "base_model.model.m.lora_A.a.b.weight",
            "base_model.model.m.hada_w1_a",
            "base_model.model.m.modules_to_save.a.b.weight",
        ] {
            assert_eq!(parse(stored), None, "{stored}");
        }
    }
}
