//! Encoder-decoders against transformers (`golden/encoders/seq2seq.json`): the whole distribution at
//! every position of a target, and what greedy decoding writes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::write::safetensors;
use isogloss_model::engine::{EngineError, EngineOptions};
use isogloss_model::seq2seq::{Seq2SeqNetwork, bucket};
use isogloss_model::{BackendError, Isa, RunSettings};
use isogloss_record::{Encoded, Explain, FinishReason, Response, Sampling, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::encoders::weights;
use crate::families::{Stored, TOLERANCE};

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
    buckets: Vec<Table>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    tensors: BTreeMap<String, Stored>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    source: Vec<u32>,
    target: Vec<u32>,
    /// `[target][vocabulary]`.
    logprobs: Vec<Vec<f64>>,
    greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct Table {
    is_encoder: bool,
    n_buckets: usize,
    max_distance: usize,
    buckets: Vec<usize>,
}

const N_VOCAB: u32 = 40;

fn goldens() -> Goldens {
    let json = include_str!("../../../../golden/encoders/seq2seq.json");
    serde_json::from_str(json).unwrap()
}

fn golden(name: &str) -> Case {
    let mut cases = goldens().cases.into_iter();
    cases.find(|case| case.name == name).unwrap()
}

fn open(case: &Case, options: &EngineOptions) -> Result<Seq2SeqNetwork, EngineError> {
    let bytes = safetensors(&weights(&case.tensors));
    Seq2SeqNetwork::of_safetensors_bytes(&case.config, bytes, &case.name, options)
}

fn run_with(
    network: &Seq2SeqNetwork,
    jobs: &[Encoded],
    batch_size: usize,
    share_prefixes: bool,
) -> Result<(Vec<Response>, Usage), BackendError> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size,
        share_prefixes,
        cancel: &cancel,
    };
    let mut answers: Vec<Option<Response>> = vec![None; jobs.len()];
    // Every id as one letter.
    let text_of = |ids: &[u32]| ids.iter().map(|id| char::from(b'A' + *id as u8)).collect();
    let usage = network.run(jobs, &settings, &text_of, &mut |i, answer| {
        assert!(answers[i].replace(answer).is_none(), "each job once");
    })?;
    Ok((answers.into_iter().map(Option::unwrap).collect(), usage))
}

fn run(network: &Seq2SeqNetwork, jobs: &[Encoded]) -> Vec<Response> {
    run_with(network, jobs, 16, true).unwrap().0
}

fn score(source: &[u32], target: &[u32]) -> Encoded {
    Encoded::Score {
        token_ids: [source, target].concat(),
        n_context: source.len(),
        scored_from: source.len(),
        n_pooled: 0,
    }
}

fn generate(source: &[u32], sampling: Sampling) -> Encoded {
    Encoded::Generate {
        token_ids: source.to_vec(),
        sampling,
    }
}

fn greedy(max_tokens: usize) -> Sampling {
    Sampling {
        max_tokens,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    }
}

fn logprobs(answer: &Response) -> Vec<f32> {
    match answer {
        Response::Score { logprobs, .. } => logprobs.iter().flatten().copied().collect(),
        Response::Choose { logprobs } => logprobs.clone(),
        Response::Generate { logprobs, .. } => logprobs.clone().unwrap(),
    }
}

/// Largest difference of a log-probability, over the vocabulary at every position of every target.
fn compare(case: &Case) -> f64 {
    let network = open(case, &EngineOptions::default()).unwrap();
    let (mut jobs, mut wanted) = (Vec::new(), Vec::new());
    for pair in &case.pairs {
        for (position, row) in pair.logprobs.iter().enumerate() {
            for id in 0..N_VOCAB {
                let target = [&pair.target[..position], &[id]].concat();
                jobs.push(score(&pair.source, &target));
                wanted.push(row[id as usize]);
            }
        }
    }
    let difference = |(answer, want): (&Response, f64)| {
        let found = *logprobs(answer).last().unwrap();
        (f64::from(found) - want).abs()
    };
    let found = run(&network, &jobs);
    found.iter().zip(wanted).map(difference).fold(0.0, f64::max)
}

#[test]
fn every_encoder_decoder_agrees_with_transformers() {
    let cases = goldens().cases;
    assert_eq!(cases.len(), 7);
    for case in &cases {
        let difference = compare(case);
        assert!(difference < TOLERANCE, "{}: {difference:.2e}", case.name);
    }
}

#[test]
fn greedy_decoding_writes_what_transformers_writes() {
    for case in goldens().cases {
        let network = open(&case, &EngineOptions::default()).unwrap();
        let jobs: Vec<_> = (case.pairs.iter())
            .map(|pair| generate(&pair.source, greedy(24)))
            .collect();
        for (pair, answer) in case.pairs.iter().zip(run(&network, &jobs)) {
            let Response::Generate {
                token_ids: Some(token_ids),
                text,
                finish_reason,
                ..
            } = answer
            else {
                panic!("a generation answers with a text");
            };
            assert_eq!(token_ids, pair.greedy, "{}", case.name);
            let ended = token_ids.last() == Some(&1);
            assert_eq!(finish_reason == FinishReason::Stop, ended, "{}", case.name);
            assert_eq!(text.len(), token_ids.len() - usize::from(ended));
        }
    }
}

/// The goldens see what they must see: with a switch turned, the model is another one.
#[test]
fn a_turned_switch_is_seen() {
    for (name, key, value) in [
        ("t5", "tie_word_embeddings", json!(false)),
        ("t5", "decoder_start_token_id", json!(5)),
        ("t5", "feed_forward_proj", json!("gelu")),
        ("t5", "relative_attention_max_distance", json!(40)),
        ("t5_v1_1", "tie_word_embeddings", json!(true)),
        ("t5_v1_1", "feed_forward_proj", json!("gated-relu")),
        ("t5_silu", "layer_norm_epsilon", json!(1e-6)),
        ("umt5_untied", "tie_word_embeddings", json!(true)),
    ] {
        let mut case = golden(name);
        case.config[key] = value;
        let difference = compare(&case);
        assert!(difference > TOLERANCE, "{name}, {key}: {difference:.2e}");
    }
}

#[test]
fn distances_fall_into_the_buckets_of_transformers() {
    for golden in goldens().buckets {
        let found: Vec<usize> = (-300..=300)
            .map(|d| bucket(d, golden.is_encoder, golden.n_buckets, golden.max_distance))
            .collect();
        let what = (golden.is_encoder, golden.n_buckets, golden.max_distance);
        assert_eq!(found, golden.buckets, "{what:?}");
    }
}

/// Every kind of job over shared and own sources, short and long, more than one batch of rows.
fn jobs() -> Vec<Encoded> {
    let ids = |seed: u32, n: u32| {
        (0..n)
            .map(|i| 2 + (seed + i * i * 3) % 38)
            .collect::<Vec<_>>()
    };
    let mut jobs = Vec::new();
    for i in 0..24 {
        let source = ids(i % 5, 1 + (i * 11) % 40);
        jobs.push(score(&source, &ids(i + 9, 1 + (i * 7) % 30)));
        if i % 4 == 0 {
            let labels = (1..6).map(|n| ids(i + n, n)).collect();
            let token_ids = source.clone();
            jobs.push(Encoded::Choose { token_ids, labels });
        }
        if i % 3 == 0 {
            let sampling = Sampling {
                max_tokens: 40,
                temperature: if i % 2 == 0 { 1.0 } else { 0.0 },
                seed: u64::from(i),
                stop: if i == 6 { vec!["B".into()] } else { Vec::new() },
            };
            jobs.push(generate(&source, sampling));
        }
    }
    jobs
}

/// Batches, threads, shared sources and instruction sets change no bit.
#[test]
fn an_answer_depends_on_its_job_alone() {
    let jobs = jobs();
    for name in ["t5_buckets", "umt5"] {
        let case = golden(name);
        let network = open(&case, &EngineOptions::default()).unwrap();
        let want: Vec<Response> = (jobs.iter())
            .map(|job| run(&network, std::slice::from_ref(job)).remove(0))
            .collect();
        for (threads, isa, batch_size, share) in [
            (1, Isa::Portable, 64, true),
            (3, Isa::detect(), 64, false),
            (2, Isa::detect(), 5, true),
            (2, Isa::detect(), 1, true),
        ] {
            let options = EngineOptions {
                threads: NonZeroUsize::new(threads),
                isa: Some(isa),
                ..EngineOptions::default()
            };
            let network = open(&case, &options).unwrap();
            let (found, usage) = run_with(&network, &jobs, batch_size, share).unwrap();
            assert_eq!(found, want, "{name}");
            assert_eq!(usage.n_tokens_shared > 0, share);
            let counted = usage.n_tokens_computed + usage.n_tokens_shared;
            assert_eq!(usage.n_tokens_requested, counted);
        }
    }
}

/// A drawn token has the log-probability that scoring it gives, to the bit.
#[test]
fn writing_and_scoring_agree() {
    let mut case = golden("t5_v1_1");
    case.config["eos_token_id"] = json!([]);
    let network = open(&case, &EngineOptions::default()).unwrap();
    let source = &case.pairs[0].source;
    for temperature in [0.0, 1.5] {
        let sampling = Sampling {
            temperature,
            seed: 5,
            ..greedy(48)
        };
        let answers = run(&network, &[generate(source, sampling)]);
        let Response::Generate {
            token_ids: Some(token_ids),
            logprobs: Some(drawn),
            ..
        } = &answers[0]
        else {
            panic!("a generation answers with a text");
        };
        assert_eq!(token_ids.len(), 48, "room for keys and values grew");
        let scored = run(&network, &[score(source, token_ids)]);
        assert_eq!(&logprobs(&scored[0]), drawn);
        let is_greedy = matches!(&scored[0], Response::Score { greedy: true, .. });
        assert_eq!(is_greedy, temperature == 0.0);
    }
}

#[test]
fn a_choice_is_the_sum_of_its_tokens() {
    let case = golden("mt5");
    let network = open(&case, &EngineOptions::default()).unwrap();
    let source = &case.pairs[3].source;
    let labels = vec![vec![5, 9, 30], vec![7]];
    let choice = Encoded::Choose {
        token_ids: source.clone(),
        labels: labels.clone(),
    };
    let mut answers = run(&network, &[choice, score(source, &labels[0])]);
    let three: f64 = (logprobs(&answers.remove(1)).iter())
        .map(|x| f64::from(*x))
        .sum();
    assert_eq!(logprobs(&answers[0])[0], three as f32);
}

#[test]
fn scores_begin_where_they_are_asked_for() {
    let case = golden("t5");
    let network = open(&case, &EngineOptions::default()).unwrap();
    let (source, target) = (&case.pairs[3].source, &case.pairs[3].target);
    let all = run(&network, &[score(source, target)]).remove(0);
    let from = Encoded::Score {
        token_ids: [&source[..], target].concat(),
        n_context: source.len(),
        scored_from: source.len() + 2,
        n_pooled: 0,
    };
    let Response::Score {
        logprobs: found, ..
    } = run(&network, &[from]).remove(0)
    else {
        panic!("a score job answers with a score");
    };
    assert_eq!(found.len(), source.len() + target.len());
    assert!(found[..source.len() + 2].iter().all(Option::is_none));
    let found: Vec<f32> = found.into_iter().flatten().collect();
    assert_eq!(found, logprobs(&all)[2..]);
    // From before the target on is from its first token on.
    let from_source = Encoded::Score {
        token_ids: [&source[..], target].concat(),
        n_context: source.len(),
        scored_from: 1,
        n_pooled: 0,
    };
    assert_eq!(run(&network, &[from_source]), [all]);
    // Of an empty target nothing is scored, and nothing contradicts it.
    let empty = Response::Score {
        logprobs: vec![None; source.len()],
        greedy: true,
        pooled: None,
    };
    assert_eq!(run(&network, &[score(source, &[])]), [empty]);
    // No new tokens: an empty text.
    let nothing = run(&network, &[generate(source, greedy(0))]).remove(0);
    assert!(
        matches!(nothing, Response::Generate { token_ids: Some(token_ids), .. } if token_ids.is_empty())
    );
}

#[test]
fn jobs_that_cannot_be_answered_are_refused_before_any_work() {
    let network = open(&golden("t5"), &EngineOptions::default()).unwrap();
    let refused = |job: Encoded| {
        let jobs = [score(&[3], &[4]), job];
        run_with(&network, &jobs, 8, true).unwrap_err().to_string()
    };
    let pooled = Encoded::Score {
        token_ids: vec![3, 4],
        n_context: 1,
        scored_from: 1,
        n_pooled: 1,
    };
    let choice = |labels: Vec<Vec<u32>>| Encoded::Choose {
        token_ids: vec![3],
        labels,
    };
    let hot = Sampling {
        temperature: f32::NAN,
        ..greedy(3)
    };
    for (job, want) in [
        (
            pooled,
            "`t5` cannot give hidden states: it is an encoder-decoder",
        ),
        (
            score(&[], &[3]),
            "`t5` cannot answer without a source: it is an encoder-decoder",
        ),
        (
            score(&[3; 49], &[3]),
            "the text has 49 tokens, `t5` can hold 48",
        ),
        (
            score(&[3], &[3; 49]),
            "the text has 49 tokens, `t5` can hold 48",
        ),
        (
            score(&[3, 40], &[3]),
            "token id 40 is outside the vocabulary of `t5` (ids 0 to 39)",
        ),
        (choice(vec![]), "a choice needs labels of one token or more"),
        (
            choice(vec![vec![4], vec![]]),
            "a choice needs labels of one token or more",
        ),
        (
            generate(&[3], hot),
            "the temperature must be 0 or more, not NaN",
        ),
    ] {
        assert_eq!(refused(job), want);
    }
    // A stopped call ends early.
    let cancel = AtomicBool::new(true);
    let settings = RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut no_answer = |_: usize, _: Response| panic!("stopped before any work");
    let no_text = |_: &[u32]| String::new();
    let error = network.run(&[score(&[3], &[4])], &settings, &no_text, &mut no_answer);
    assert!(matches!(error, Err(BackendError::Canceled)));
}

#[test]
fn a_folder_that_contradicts_itself_is_refused() {
    let refused = |name: &str, change: &dyn Fn(&mut Case)| {
        let mut case = golden(name);
        change(&mut case);
        let error = open(&case, &EngineOptions::default())
            .err()
            .expect("refused");
        assert!(error.hint().is_some(), "{error}");
        let source = std::error::Error::source(&error);
        source.map_or(error.to_string(), |source| format!("{error}: {source}"))
    };
    let set =
        |key: &'static str, value: Value| move |case: &mut Case| case.config[key] = value.clone();
    for (found, want) in [
        (
            refused(
                "t5",
                &set("architectures", json!(["T5ForQuestionAnswering"])),
            ),
            "has the architecture `T5ForQuestionAnswering`, which is not known",
        ),
        (
            refused("t5", &set("architectures", json!(["T5EncoderModel"]))),
            "to score or to write with an encoder alone is not supported",
        ),
        (
            refused("t5", &set("num_layers", json!(1_000))),
            "expected at most 60, the number of tensors",
        ),
        (
            refused("t5", &set("relative_attention_num_buckets", json!(7))),
            "expected an even number from 4 to 65536, found 7",
        ),
        (
            refused("t5", &set("relative_attention_max_distance", json!(16))),
            "expected more than 16, half the buckets, found 16",
        ),
        (
            refused("t5", &set("feed_forward_proj", json!("gated-mish"))),
            "`feed_forward_proj`: `mish` is not supported",
        ),
        (
            refused("t5", &set("num_heads", json!(4))),
            "tensor `encoder.block.0.layer.0.SelfAttention.q.weight` has shape [15, 24], the model expects [20, 24]",
        ),
        (
            refused("umt5", &|case| {
                case.config["architectures"] = json!(["T5ForConditionalGeneration"]);
            }),
            "has a tensor `decoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight`, which",
        ),
        (
            refused("t5", &|case| {
                case.tensors.remove("shared.weight");
            }),
            "the checkpoint has no tensor `shared.weight`",
        ),
    ] {
        assert!(found.contains(want), "{found}\nwant: {want}");
    }
}
