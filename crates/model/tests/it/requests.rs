//! From requests to exact ids, on real tokenizers.

use isogloss_model::BackendError;
use isogloss_model::encode::Encoder;
use isogloss_model::template::ChatTemplate;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::{Encoded, Message, Prompt, Request, Role, Sampling, Span};
use isogloss_testkit::model_path;

fn open(model: &str) -> Tokenizer {
    Tokenizer::open(&model_path(model)).unwrap()
}

fn encoder<'a>(tokenizer: &'a Tokenizer, template: Option<&'a ChatTemplate>) -> Encoder<'a> {
    Encoder {
        model: "test",
        tokenizer: Some(tokenizer),
        template,
        n_vocab: tokenizer.n_vocab(),
        context_length: 64,
        bos: tokenizer.bos(),
    }
}

fn score(context: Prompt, continuation: &str, span: Span) -> Request {
    Request::Score {
        context,
        continuation: continuation.to_owned(),
        span,
        pool: true,
    }
}

fn text(text: &str) -> Prompt {
    Prompt::Text(text.to_owned())
}

/// `(token_ids, n_context, scored_from, n_pooled)`.
fn parts(encoded: Encoded) -> (Vec<u32>, usize, usize, usize) {
    match encoded {
        Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        } => (token_ids, n_context, scored_from, n_pooled),
        other => panic!("not a score: {other:?}"),
    }
}

#[test]
fn context_and_continuation_are_encoded_together() {
    let scripts = [
        ("The capital of France is", " Paris."),
        ("ราชธานีของประเทศไทยคือ", "กรุงเทพมหานคร"),
        ("中国的首都是", "北京。"),
        ("عاصمة مصر هي", " القاهرة."),
        ("भारत की राजधानी", " नई दिल्ली है।"),
        ("cafe", "\u{301}s are e\u{301}lan"),
    ];
    for model in ["smollm2-135m", "gemma3-270m"] {
        let tokenizer = open(model);
        let encoder = encoder(&tokenizer, None);
        for (context, continuation) in scripts {
            let request = score(text(context), continuation, Span::Continuation);
            let (ids, n_context, scored_from, n_pooled) = parts(encoder.encode(&request).unwrap());
            let whole = tokenizer.encode_with_bos(&[context, continuation].concat());
            assert_eq!(ids, whole, "{model}: {context}");
            let alone = tokenizer.encode_with_bos(context).len();
            assert_eq!(
                (n_context, scored_from, n_pooled),
                (alone, alone, alone),
                "{model}: {context}"
            );
            assert!(n_context < ids.len());
        }
    }
}

#[test]
fn trailing_white_space_moves_to_the_continuation() {
    let tokenizer = open("smollm2-135m");
    let encoder = encoder(&tokenizer, None);
    let moved = encoder
        .encode(&score(text("The capital is  \u{3000}"), "Paris", Span::All))
        .unwrap();
    let plain = encoder
        .encode(&score(text("The capital is"), "  \u{3000}Paris", Span::All))
        .unwrap();
    assert_eq!(moved, plain);
    // White space alone is no context: the whole text is scored.
    let (ids, n_context, scored_from, n_pooled) = parts(
        encoder
            .encode(&score(text(" "), "Paris", Span::Continuation))
            .unwrap(),
    );
    assert_eq!(ids, tokenizer.tokenize(" Paris"));
    assert_eq!((n_context, scored_from, n_pooled), (0, 1, ids.len()));
}

#[test]
fn a_merge_across_the_boundary_leaves_the_continuation_a_token() {
    let tokenizer = open("gemma3-270m");
    let encoder = encoder(&tokenizer, None);
    // `un` + `der` is one token, as `un` alone is: [bos, under] beside [bos, un].
    let (context, whole) = (tokenizer.tokenize("un"), tokenizer.tokenize("under"));
    assert_eq!(
        (context.len(), whole.len()),
        (1, 1),
        "the premise of this test"
    );
    let (ids, n_context, scored_from, _) = parts(
        encoder
            .encode(&score(text("un"), "der", Span::Continuation))
            .unwrap(),
    );
    assert_eq!(ids, [vec![2], whole].concat());
    assert_eq!((n_context, scored_from), (1, 1));
    // A later merge: the rule of lm-evaluation-harness counts the context's own ids.
    let (ids, n_context, ..) = parts(
        encoder
            .encode(&score(text("we go un"), "der it", Span::Continuation))
            .unwrap(),
    );
    assert_eq!(n_context, tokenizer.encode_with_bos("we go un").len());
    assert_eq!(ids, tokenizer.encode_with_bos("we go under it"));
}

#[test]
fn an_empty_context_scores_the_whole_text() {
    for (model, n_bos) in [("smollm2-135m", 0), ("gemma3-270m", 1)] {
        let tokenizer = open(model);
        let encoder = encoder(&tokenizer, None);
        let (ids, n_context, scored_from, n_pooled) = parts(
            encoder
                .encode(&score(text(""), "สวัสดี", Span::Continuation))
                .unwrap(),
        );
        assert_eq!(ids.len(), tokenizer.tokenize("สวัสดี").len() + n_bos);
        assert_eq!((n_context, scored_from, n_pooled), (0, 1, ids.len()));
        let error = encoder.encode(&score(text(""), "", Span::All)).unwrap_err();
        assert_eq!(error.to_string(), "the text is empty");
        assert!(encoder.encode(&score(text("a"), "", Span::All)).is_err());
    }
}

#[test]
fn token_ids_are_used_as_they_are() {
    let tokenizer = open("gemma3-270m");
    let encoder = encoder(&tokenizer, None);
    let ids = vec![10, 11, 12];
    let request = score(Prompt::Tokens(ids.clone()), "", Span::All);
    assert_eq!(
        parts(encoder.encode(&request).unwrap()),
        (ids.clone(), 0, 1, 3)
    );
    let request = score(Prompt::Tokens(ids.clone()), " the", Span::Continuation);
    let want = [ids, tokenizer.tokenize(" the")].concat();
    assert_eq!(parts(encoder.encode(&request).unwrap()), (want, 3, 3, 3));
    // Without a tokenizer ids can still be asked, texts cannot.
    let bare = Encoder {
        tokenizer: None,
        ..encoder
    };
    assert!(
        bare.encode(&score(Prompt::Tokens(vec![5]), "", Span::All))
            .is_ok()
    );
    let error = bare.encode(&score(text("a"), "b", Span::All)).unwrap_err();
    assert!(matches!(error, BackendError::Unsupported { .. }), "{error}");
    let error = encoder
        .encode(&score(Prompt::Tokens(vec![262_144]), "", Span::All))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "token id 262144 does not exist: `test` has 262144 tokens"
    );
}

#[test]
fn two_bos_and_too_much_text_are_refused() {
    let tokenizer = open("gemma3-270m");
    let encoder = encoder(&tokenizer, None);
    for prompt in [text("<bos>a"), Prompt::Tokens(vec![2, 2, 10])] {
        let error = encoder.encode(&score(prompt, "b", Span::All)).unwrap_err();
        assert!(matches!(error, BackendError::TwoBos { id: 2 }), "{error}");
    }
    let generate = |n: usize| Request::Generate {
        prompt: Prompt::Tokens(vec![5; n]),
        sampling: Sampling {
            max_tokens: 9,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    };
    // 64 fit: a prompt of 63 leaves room for one new token.
    assert!(encoder.encode(&generate(63)).is_ok());
    let error = encoder.encode(&generate(64)).unwrap_err();
    assert!(
        matches!(
            error,
            BackendError::TooLong {
                found: 65,
                limit: 64,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        encoder
            .encode(&score(Prompt::Tokens(vec![5; 64]), "", Span::All))
            .is_ok()
    );
    assert!(
        encoder
            .encode(&score(Prompt::Tokens(vec![5; 65]), "", Span::All))
            .is_err()
    );
}

#[test]
fn labels_follow_the_same_context() {
    let tokenizer = open("gemma3-270m");
    let encoder = encoder(&tokenizer, None);
    let choose = |context: &str, labels: &[&str]| Request::Choose {
        context: text(context),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let encoded = encoder
        .encode(&choose("Is it? ", &["yes", "no", "शायद"]))
        .unwrap();
    let want = |label: &str| tokenizer.tokenize(&[" ", label].concat());
    assert_eq!(
        encoded,
        Encoded::Choose {
            token_ids: tokenizer.encode_with_bos("Is it?"),
            labels: ["yes", "no", "शायद"].map(want).to_vec(),
        }
    );
    // `un` + `der` would merge: the label is encoded alone.
    let encoded = encoder.encode(&choose("un", &["der"])).unwrap();
    let Encoded::Choose { token_ids, labels } = encoded else {
        panic!()
    };
    assert_eq!(
        (token_ids, labels),
        (
            tokenizer.encode_with_bos("un"),
            vec![tokenizer.tokenize("der")]
        )
    );
    assert!(encoder.encode(&choose("a", &[])).is_err());
    assert!(encoder.encode(&choose("a", &[""])).is_err());
}

#[test]
fn a_dialogue_is_rendered_by_the_model_s_own_template() {
    let tokenizer = open("smollm2-135m");
    let template = ChatTemplate::of(&tokenizer).unwrap().unwrap();
    let encoder = encoder(&tokenizer, Some(&template));
    let messages = vec![Message {
        role: Role::User,
        content: "नमस्ते".into(),
    }];
    let sampling = Sampling {
        max_tokens: 4,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    };
    let request = Request::Generate {
        prompt: Prompt::Chat(messages),
        sampling: sampling.clone(),
    };
    let want = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by \
                Hugging Face<|im_end|>\n<|im_start|>user\nनमस्ते<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        encoder.encode(&request).unwrap(),
        Encoded::Generate {
            token_ids: tokenizer.tokenize(want),
            sampling
        }
    );
}

#[test]
fn the_bos_of_a_template_is_not_doubled() {
    let tokenizer = open("gemma3-270m");
    assert!(ChatTemplate::of(&tokenizer).unwrap().is_none());
    let source = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}";
    let template = ChatTemplate::new(source, "<bos>", "<eos>").unwrap();
    let request = Request::Choose {
        context: Prompt::Chat(vec![Message {
            role: Role::User,
            content: "สวัสดี".into(),
        }]),
        labels: vec!["a".into()],
    };
    let Encoded::Choose { token_ids, .. } = encoder(&tokenizer, Some(&template))
        .encode(&request)
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(token_ids[..2], [2, 105]);
    let error = encoder(&tokenizer, None).encode(&request).unwrap_err();
    assert!(matches!(error, BackendError::Unsupported { .. }), "{error}");
}

#[test]
fn a_text_that_the_vocabulary_cannot_spell_is_refused() {
    // SmolLM2's vocabulary has no token for bytes 04 and 06 (nor for F1 and F2).
    let tokenizer = open("smollm2-135m");
    let lost = "\u{4}\u{6}";
    assert_eq!(tokenizer.tokenize(lost), [0; 0], "the premise of this test");
    let encoder = encoder(&tokenizer, None);
    for context in ["", "a"] {
        let error = encoder
            .encode(&score(text(context), lost, Span::All))
            .unwrap_err();
        let want = "the text `\\u{4}\\u{6}` has no token of its own in this tokenizer";
        assert!(error.to_string().starts_with(want), "{error}");
    }
}
