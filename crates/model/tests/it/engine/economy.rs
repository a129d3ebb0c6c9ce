//! What is shared is computed once: tokens computed against tokens needed.

use super::*;

#[test]
fn shared_prefixes_are_computed_once() {
    let context = ids(31, 50, VOCAB);
    let jobs: Vec<_> = (0..15)
        .map(|i| {
            score(
                [context.clone(), vec![i], ids(40, 9, VOCAB)].concat(),
                50,
                50,
                0,
            )
        })
        .collect();
    let way = Way {
        share_prefixes: true,
        batch_size: 32,
        ..STRAIGHT
    };
    let network = load(Tiny::new(Family::Llama, 8), way);
    let (_, usage) = try_run(&network, way, &jobs).unwrap();
    // 50 of the context once, then 9 of each continuation (nothing follows its last token);
    // continuations begin with different tokens here.
    assert_eq!(usage.n_tokens_requested, 15 * 60);
    assert_eq!(usage.n_tokens_computed, 50 + 15 * 9);
    assert_eq!(usage.n_tokens_shared, 14 * 50);
    let (_, again) = try_run(&network, way, &jobs).unwrap();
    assert_eq!(
        (again.n_tokens_computed, again.n_tokens_shared),
        (0, 15 * 59)
    );
}

/// A context whose states are pooled serves the options that go on from it, whichever of them
/// comes first.
#[test]
fn a_pooled_context_is_computed_once() {
    let way = Way {
        share_prefixes: true,
        batch_size: 32,
        ..STRAIGHT
    };
    let network = load(Tiny::new(Family::Llama, 5), way);
    let context = ids(31, 40, VOCAB);
    let jobs: Vec<Encoded> = (0..4)
        .map(|option| {
            let tokens = [context.clone(), vec![option; 6]].concat();
            score(tokens, 40, 40, if option == 2 { 40 } else { 0 })
        })
        .collect();
    let (answers, usage) = try_run(&network, way, &jobs).unwrap();
    // The context once, and five of each option's six tokens (nothing follows the last).
    assert_eq!(usage.n_tokens_computed, 40 + 4 * 5);
    assert_same("shared or not", &run(&network, STRAIGHT, &jobs), &answers);
    let pooled = |answer: &Response| {
        matches!(
            answer,
            Response::Score {
                pooled: Some(_),
                ..
            }
        )
    };
    assert_eq!(
        answers.iter().map(pooled).collect::<Vec<_>>(),
        [false, false, true, false]
    );
}

/// Tokens that must go through the network: distinct beginnings of the sequences, each without its
/// last token, which only is predicted.
fn n_needed(jobs: &[Encoded]) -> u64 {
    let mut beginnings = std::collections::BTreeSet::new();
    for job in jobs {
        let sequences: Vec<Vec<u32>> = match job {
            Encoded::Score { token_ids, .. } => vec![token_ids.clone()],
            Encoded::Choose { token_ids, labels } => (labels.iter())
                .map(|label| [&token_ids[..], label].concat())
                .collect(),
            Encoded::Generate { .. } => panic!("a continuation is not known before"),
        };
        for sequence in sequences {
            let beginnings_of = (1..sequence.len()).map(|n| sequence[..n].to_vec());
            beginnings.extend(beginnings_of);
        }
    }
    beginnings.len() as u64
}

/// A choice costs its context once and of its labels what comes before their last tokens; options in
/// another order share what they begin with.
#[test]
fn choices_and_permuted_options_compute_each_beginning_once() {
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let way = Way {
        batch_size: 64,
        share_prefixes: true,
        ..STRAIGHT
    };
    let context = ids(21, 30, VOCAB);
    let choice = Encoded::Choose {
        token_ids: context.clone(),
        labels: vec![vec![5], vec![7, 8, 9], vec![7, 8, 4], vec![5, 6], vec![11]],
    };
    let (_, usage) = try_run(&network, way, std::slice::from_ref(&choice)).unwrap();
    // 30 of the context, 7 and 8 of two labels together, 5 before 6; last tokens are not computed.
    assert_eq!(usage.n_tokens_computed, 33);
    assert_eq!(n_needed(&[choice]), 33);
    // Five sequences of 31, 33, 33, 32 and 31 tokens, of which the last tokens need no states.
    assert_eq!(usage.n_tokens_requested, 160);
    assert_eq!(usage.n_tokens_shared, 160 - 5 - 33);

    // Four options of three tokens in all 24 orders, then labels of one token and of two.
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let options: [[u32; 3]; 4] = [[31, 32, 33], [31, 40, 41], [50, 51, 52], [60, 61, 62]];
    let mut jobs = Vec::new();
    for order in 0..256_usize {
        let order = [order % 4, order / 4 % 4, order / 16 % 4, order / 64];
        if (0..4).all(|i| order.contains(&i)) {
            let options = order.iter().flat_map(|i| options[*i]);
            jobs.push(Encoded::Choose {
                token_ids: context.iter().copied().chain(options).collect(),
                labels: vec![vec![70], vec![71], vec![72, 73], vec![72, 74]],
            });
        }
    }
    assert_eq!(jobs.len(), 24);
    let (_, usage) = try_run(&network, way, &jobs).unwrap();
    assert_eq!(usage.n_tokens_computed, n_needed(&jobs));
}
