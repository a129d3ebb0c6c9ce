//! The runner on scripted models: what is stored is not asked again, and nothing finished is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use isogloss_eval::run::{Progress, RunError, Runner, TOKENS_PER_COMMIT};
use isogloss_model::scripted::{KnownText, ScriptedModel};
use isogloss_model::{Backend, BackendError, Capabilities, RunSettings};
use isogloss_record::{
    Encoded, Fingerprint, Prompt, Request, Response, Sampling, Span, Store, StoreError, Usage,
};

/// A scripted model that counts its jobs, breaks off after some, and may answer nonsense.
struct Watched {
    inner: ScriptedModel,
    n_jobs: AtomicUsize,
    n_jobs_max: usize,
    fault: Option<f32>,
}

impl Watched {
    fn new() -> Self {
        let text = |lang: &str, text: &str| KnownText {
            lang: lang.parse().unwrap(),
            document: "1".into(),
            text: text.into(),
        };
        let texts = [
            text("eng", "All human beings are born free."),
            text("hin", "सभी मनुष्य जन्म से स्वतन्त्र हैं।"),
        ];
        Self {
            inner: ScriptedModel::new(&"scripted:knows:hin=1".parse().unwrap(), &texts),
            n_jobs: AtomicUsize::new(0),
            n_jobs_max: usize::MAX,
            fault: None,
        }
    }

    fn n_asked(&self) -> usize {
        self.n_jobs.swap(0, Ordering::Relaxed)
    }
}

impl Backend for Watched {
    fn fingerprint(&self) -> &Fingerprint {
        self.inner.fingerprint()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        self.inner.tokenize(text)
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        self.inner.encode(request)
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        // In an order of its own, one by one.
        let mut usage = Usage::default();
        for index in (0..jobs.len()).rev() {
            if self.n_jobs.fetch_add(1, Ordering::Relaxed) >= self.n_jobs_max {
                return Err(BackendError::Canceled);
            }
            usage += self
                .inner
                .run(&jobs[index..=index], settings, &mut |_, mut response| {
                    if let (Some(fault), Response::Score { logprobs, .. }) =
                        (self.fault, &mut response)
                    {
                        logprobs[1] = Some(fault);
                    }
                    on_response(index, response);
                })?;
        }
        Ok(usage)
    }
}

fn score(text: &str, pool: bool) -> Request {
    Request::Score {
        context: Prompt::Text(String::new()),
        continuation: text.into(),
        span: Span::All,
        pool,
    }
}

fn requests(n: usize) -> Vec<Request> {
    (0..n)
        .map(|i| score(&format!("सभी मनुष्य {i} ทุกคน"), false))
        .collect()
}

fn settings(cancel: &AtomicBool) -> RunSettings<'_> {
    RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel,
    }
}

fn ask(
    model: &Watched,
    store: &mut Store,
    requests: &[Request],
) -> (Vec<Response>, Usage, Vec<Progress>) {
    let cancel = AtomicBool::new(false);
    let mut runner = Runner::new(model, store, settings(&cancel));
    let mut heard = Vec::new();
    let answers = runner.ask(requests, &mut |p| heard.push(p)).unwrap();
    let responses = answers.into_iter().map(|answer| answer.response).collect();
    (responses, runner.usage(), heard)
}

#[test]
fn answers_are_in_order_and_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.zst");
    let model = Watched::new();
    // The third repeats the first.
    let mut asked = requests(2);
    asked.push(asked[0].clone());
    let (first, usage, heard) = ask(&model, &mut Store::open(&path).unwrap(), &asked);
    assert_eq!(model.n_asked(), 2);
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    // BOS and 18 characters each: two texts computed, the repeated one shared
    assert_eq!(
        usage,
        Usage {
            n_tokens_requested: 57,
            n_tokens_computed: 38,
            n_tokens_shared: 19,
            n_tokens_stored: 0,
            n_tokens_cut: 0,
        }
    );
    assert_eq!(heard.first().unwrap().n_tokens_done, 0);
    assert_eq!(
        heard.last(),
        Some(&Progress {
            n_tokens_done: 57,
            n_tokens: 57
        })
    );
    // From the file again: the same answers, nothing computed.
    let (again, usage, _) = ask(&model, &mut Store::open(&path).unwrap(), &asked);
    assert_eq!((again, model.n_asked()), (first, 0));
    assert_eq!((usage.n_tokens_stored, usage.n_tokens_computed), (57, 0));
}

#[test]
fn a_broken_run_goes_on_and_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.zst");
    let asked = requests(40);
    let (straight, _, _) = ask(&Watched::new(), &mut Store::in_memory(), &asked);
    let mut n_done = 0;
    for n_jobs_max in [0, 1, 7, 20] {
        n_done += n_jobs_max;
        let model = Watched {
            n_jobs_max,
            ..Watched::new()
        };
        let cancel = AtomicBool::new(false);
        let mut store = Store::open(&path).unwrap();
        let error = Runner::new(&model, &mut store, settings(&cancel))
            .ask(&asked, &mut |_| {})
            .err();
        assert!(matches!(
            error,
            Some(RunError::Model(BackendError::Canceled))
        ));
        assert_eq!(store.len(), n_done);
    }
    let model = Watched::new();
    let (resumed, _, _) = ask(&model, &mut Store::open(&path).unwrap(), &asked);
    assert_eq!(resumed, straight);
    assert_eq!(model.n_asked(), 40 - n_done);
}

#[test]
fn a_kill_loses_only_the_last_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("responses.zst");
    let model = Watched::new();
    let cancel = AtomicBool::new(false);
    let mut store = Store::open(&path).unwrap();
    let text = "ก".repeat(499);
    let asked: Vec<Request> = (0..40)
        .map(|i| score(&format!("{i} {text}"), false))
        .collect();
    let mut runner = Runner::new(&model, &mut store, settings(&cancel));
    let jobs = runner.encode(&asked).unwrap();
    let mut lengths = Vec::new();
    runner
        .run(
            &jobs,
            &mut |_, _| lengths.push(isogloss_record::files::read(&path).unwrap().len()),
            &mut |_| {},
        )
        .unwrap();
    // What the file holds grows while answers arrive, at every ninth (9 · 502 > 4,096).
    let n_commits = lengths.windows(2).filter(|pair| pair[0] < pair[1]).count();
    let n_per_commit = TOKENS_PER_COMMIT.div_ceil(502) as usize;
    assert_eq!(n_commits, 40 / n_per_commit, "{lengths:?}");
}

#[test]
fn hidden_states_come_each_time_and_are_not_stored() {
    let model = Watched::new();
    let mut store = Store::in_memory();
    for n_before in [0, 1] {
        assert_eq!(store.len(), n_before);
        let (answers, _, _) = ask(&model, &mut store, &[score("सभी मनुष्य", true)]);
        let Response::Score { pooled, .. } = &answers[0] else {
            panic!()
        };
        assert!(pooled.is_some());
        assert_eq!(model.n_asked(), 1);
    }
    // The same text without states is answered from the store.
    let (answers, _, _) = ask(&model, &mut store, &[score("सभी मनुष्य", false)]);
    assert_eq!(model.n_asked(), 0);
    assert!(matches!(&answers[0], Response::Score { pooled: None, .. }));
    // What is derived is stored under its own key, and the model is not asked for it again.
    let cancel = AtomicBool::new(false);
    let mut runner = Runner::new(&model, &mut store, settings(&cancel));
    for n_asked in [1, 0] {
        let width: usize = runner
            .derive(
                "width",
                &"सभी मनुष्य",
                |runner| -> Result<usize, RunError> {
                    let answers = runner.ask(&[score("सभी मनुष्य", true)], &mut |_| {})?;
                    match &answers[0].response {
                        Response::Score {
                            pooled: Some(pooled),
                            ..
                        } => Ok(pooled.mean[0].len()),
                        other => panic!("{other:?}"),
                    }
                },
            )
            .unwrap();
        assert_eq!((width, model.n_asked()), (32, n_asked));
    }
}

#[test]
fn the_seed_of_a_greedy_choice_does_not_matter_and_that_of_a_draw_does() {
    let generate = |temperature, seed| Request::Generate {
        prompt: Prompt::Text("All human".into()),
        sampling: Sampling {
            max_tokens: 4,
            temperature,
            seed,
            stop: Vec::new(),
        },
    };
    let model = Watched::new();
    let mut store = Store::in_memory();
    ask(&model, &mut store, &[generate(0.0, 1), generate(0.0, 2)]);
    assert_eq!(model.n_asked(), 1);
    ask(&model, &mut store, &[generate(1.0, 1), generate(1.0, 2)]);
    assert_eq!(model.n_asked(), 2);
}

#[test]
fn what_is_no_number_is_refused_and_not_stored() {
    for fault in [f32::NAN, f32::NEG_INFINITY] {
        let model = Watched {
            fault: Some(fault),
            ..Watched::new()
        };
        let cancel = AtomicBool::new(false);
        let mut store = Store::in_memory();
        let error = Runner::new(&model, &mut store, settings(&cancel))
            .ask(&requests(3), &mut |_| {})
            .unwrap_err();
        assert!(
            matches!(error, RunError::Model(BackendError::NotFinite { .. })),
            "{error}"
        );
        assert!(store.is_empty());
        assert!(model.n_asked() <= 2, "the work ends at once");
    }
}

#[test]
fn a_request_that_cannot_be_asked_costs_nothing() {
    let model = Watched::new();
    let mut asked = requests(2);
    asked.push(Request::Generate {
        prompt: Prompt::Chat(Vec::new()),
        sampling: Sampling {
            max_tokens: 1,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    });
    let cancel = AtomicBool::new(false);
    let mut store = Store::in_memory();
    let error = Runner::new(&model, &mut store, settings(&cancel))
        .ask(&asked, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error, RunError::Request { index: 2, .. }),
        "{error}"
    );
    assert_eq!(model.n_asked(), 0);
}

#[test]
fn the_work_ahead_is_counted_without_doing_it() {
    let model = Watched::new();
    let mut store = Store::in_memory();
    let asked = requests(4);
    ask(&model, &mut store, &asked[..1]);
    model.n_asked();
    let cancel = AtomicBool::new(false);
    let mut runner = Runner::new(&model, &mut store, settings(&cancel));
    let mut jobs = runner.encode(&asked).unwrap();
    jobs.push(jobs[3].clone());
    // three of four are missing, the repeated one counts once: 3 · 19
    assert_eq!(runner.n_tokens_missing(&jobs), 57);
    assert_eq!(model.n_asked(), 0);
}

#[test]
fn log_probabilities_survive_the_store_bit_by_bit() {
    // Decimal and back, for every magnitude that a log-probability has.
    let mut bits = 0x3300_0000_u32;
    while bits < 0x4400_0000 {
        let x = -f32::from_bits(bits);
        let text = serde_json::to_string(&x).unwrap();
        let back: f32 = serde_json::from_str(&text).unwrap();
        assert_eq!(x.to_bits(), back.to_bits(), "{text}");
        bits += 9_973;
    }
}

#[test]
fn errors_of_the_store_are_passed_on() {
    let error: RunError = StoreError::Locked {
        path: "run/responses.zst".into(),
    }
    .into();
    assert!(error.to_string().contains("in use"));
    assert!(isogloss_record::Explain::hint(&error).is_some());
}
