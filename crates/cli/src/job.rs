//! A survey from the command line to its run folder: what `survey` and `tour` share.
//!
//! The folder: `run.json` (configuration, machine, times, tokens), `responses.zst` (every answer),
//! `results.json`, and the atlas made from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use isogloss_lang::identify::Identifier;
use isogloss_lang::registry;
use isogloss_model::{Backend, RunSettings};
use isogloss_record::survey::LanguageFacts;
use isogloss_record::{Lang, Prompt, Request, RunInfo, Seed, Span, Store, Usage, files};
use isogloss_report::{AtlasOptions, comparison_table, summary_table, write_reports};
use isogloss_survey::text::{self, ParallelText};
use isogloss_survey::{
    Plan, Policy, Settings, Survey, SurveyTexts, add_samples, hearing, known_texts,
};

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::model::Retries;
use crate::progress::{self, Unit};
use crate::{interrupt, machine, model, output};

/// What to survey and where to keep it.
pub(crate) struct Job<'a> {
    pub(crate) command: &'static str,
    pub(crate) models: &'a [String],
    pub(crate) languages: &'a [Lang],
    pub(crate) texts: &'a Texts,
    pub(crate) settings: &'a Settings,
    pub(crate) policy: &'a Policy,
    pub(crate) out: &'a Path,
    pub(crate) samples: bool,
    pub(crate) json: bool,
    /// Whether the results are printed: not where they are a part of something else.
    pub(crate) prints: bool,
    pub(crate) compute: &'a Compute,
}

/// Texts at hand: the embedded ones, or the user's own in place of the embedded running text.
pub(crate) struct Texts {
    own: Option<ParallelText>,
    registers: BTreeSet<RegisterName>,
    /// Dates, quantities and prices, where they are asked for.
    made: Option<ParallelText>,
    /// Texts that take the place of all others.
    given: Option<SurveyTexts>,
}

/// A register that the program ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum RegisterName {
    /// The Universal Declaration of Human Rights
    Udhr,
    /// Names of emoji and symbols
    Words,
    /// Dates, quantities and prices made by the seed; no verdict rests on them
    Made,
}

impl Texts {
    /// Reads the user's own pairs, if there are any.
    pub(crate) fn gather(own: Option<&Path>) -> Result<Self> {
        let Some(path) = own else {
            return Ok(Self {
                own: None,
                registers: BTreeSet::from([RegisterName::Udhr, RegisterName::Words]),
                made: None,
                given: None,
            });
        };
        let own = text::own::own(path)?;
        for note in &own.notes {
            output::talk(&format!("note: {note}"));
        }
        Ok(Self {
            own: Some(own.text),
            registers: BTreeSet::from([RegisterName::Words]),
            made: None,
            given: None,
        })
    }

    /// These texts and no others.
    pub(crate) fn given(texts: SurveyTexts) -> Self {
        Self {
            own: None,
            registers: BTreeSet::new(),
            made: None,
            given: Some(texts),
        }
    }

    /// With these registers instead of the usual ones, beside the user's own text; none: the usual.
    pub(crate) fn choosing(self, registers: &[RegisterName], seed: Seed) -> Self {
        if registers.is_empty() {
            return self;
        }
        let registers: BTreeSet<RegisterName> = registers.iter().copied().collect();
        Self {
            made: registers
                .contains(&RegisterName::Made)
                .then(|| text::made(seed)),
            registers,
            ..self
        }
    }

    /// Languages that there is text for: running text or words.
    pub(crate) fn languages(&self) -> Vec<Lang> {
        if let Some(given) = &self.given {
            let all = given.parallel.iter().flat_map(|text| text.documents.keys());
            return all
                .copied()
                .collect::<BTreeSet<Lang>>()
                .into_iter()
                .collect();
        }
        match &self.own {
            None => text::languages(),
            Some(own) => own.languages.keys().copied().collect(),
        }
    }

    /// What a survey of these languages reads.
    pub(crate) fn of(&self, languages: &[Lang]) -> SurveyTexts {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let packs: Vec<&ParallelText> = (self.has(RegisterName::Udhr).then(text::udhr).into_iter())
            .chain(&self.made)
            .collect();
        let words = self.has(RegisterName::Words).then(text::words);
        SurveyTexts::gather(languages, &packs, self.own.as_slice(), words)
    }

    fn has(&self, register: RegisterName) -> bool {
        self.registers.contains(&register)
    }
}

/// Runs (or resumes) a survey into its folder and gives back the path of the atlas.
pub(crate) fn run(job: &Job<'_>, stop: &AtomicBool) -> Result<PathBuf> {
    let begun = Instant::now();
    let reference = job.settings.reference;
    let with_reference = with(job.languages, reference);
    let texts = job.texts.of(&with_reference);
    let retries: Vec<Retries> = job.models.iter().map(|_| Retries::default()).collect();
    let models = (job.models.iter().zip(&retries).enumerate())
        .map(|(i, (name, retries))| {
            let known = || known_texts(&texts, reference);
            let options = job.compute.engine_options_of(job.models.len() - i);
            model::open(name, &options, reference, known, retries, job.json)
        })
        .collect::<Result<Vec<_>>>()?;
    let backends: Vec<&dyn Backend> = models.iter().map(|model| &**model).collect();
    let mut languages = facts(&with_reference)?;
    if job.samples {
        add_samples(&mut languages, &texts, reference);
    }

    let config = config(job, &backends, &texts);
    let folder = Folder::open(job, config, &backends, retries)?;
    let mut store = Store::open(&job.out.join("responses.zst"))?;

    interrupt::watch();
    let plans = backends
        .iter()
        .map(|&backend| isogloss_survey::plan(backend, &languages, &texts, job.settings))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    announce(job, &backends, &plans, stop)?;

    let total = plans.iter().map(|plan| plan.n_tokens_most).sum();
    let bar = progress::bar(total, Unit::Tokens, job.json);
    let identifier = Identifier::shipped();
    let settings = job.compute.run_settings(stop);
    let survey = Survey {
        models: &backends,
        languages: &languages,
        texts: &texts,
        settings: job.settings,
        policy: job.policy,
        hearing: hearing(identifier),
        version: env!("CARGO_PKG_VERSION"),
    };
    let surveyed = isogloss_survey::survey(&survey, &settings, &mut store, &mut |now| {
        bar.set_message(format!(
            "{} · {}",
            backends[now.model].fingerprint().name,
            now.stage.id()
        ));
        bar.set_length(now.n_tokens);
        bar.set_position(now.n_tokens_done);
    });
    bar.finish_and_clear();
    store.commit()?;
    let surveyed = match surveyed {
        Ok(surveyed) => surveyed,
        Err(error) if error.is_canceled() => {
            folder.write_run(&[], begun, false)?;
            return Err(CliError::interrupted(
                "run the same command again: it goes on where it stopped",
            ));
        }
        Err(error) => {
            folder.write_run(&[], begun, false)?;
            return Err(error.into());
        }
    };
    let json = serde_json::to_string_pretty(&surveyed.results).expect("results are plain values");
    files::write_atomic(
        &job.out.join("results.json"),
        format!("{json}\n").as_bytes(),
    )?;
    let failed = &surveyed.results.failed;
    folder.write_run(&surveyed.usage, begun, failed.is_empty())?;
    let written = write_reports(
        job.out,
        &AtlasOptions {
            samples: job.samples,
        },
    )?;

    if !job.prints {
        // What it is a part of has its own.
    } else if job.json {
        output::data(&json)?;
    } else {
        let table = summary_table(&surveyed.results);
        output::data(&output::table(&table.header, &table.rows))?;
        let pairs = comparison_table(&surveyed.results.comparisons, &surveyed.results.languages);
        if !pairs.rows.is_empty() {
            output::data("")?;
            output::data(&output::table(&pairs.header, &pairs.rows))?;
        }
    }
    for (backend, usage) in backends.iter().zip(&surveyed.usage) {
        output::talk(&spent(&backend.fingerprint().name, usage, begun));
    }
    output::talk(&format!("atlas: {}", written.html.display()));
    if !failed.is_empty() {
        let reasons: Vec<String> = failed
            .iter()
            .map(|model| format!("{}: {}", model.name, model.reason))
            .collect();
        return Err(CliError::some_failed(
            failed.len(),
            backends.len(),
            &reasons,
        ));
    }
    Ok(written.html)
}

/// The languages and the reference.
pub(crate) fn with(languages: &[Lang], reference: Lang) -> Vec<Lang> {
    let mut all = languages.to_vec();
    if !all.contains(&reference) {
        all.push(reference);
    }
    all
}

/// What the registry knows of every language.
pub(crate) fn facts(languages: &[Lang]) -> Result<BTreeMap<Lang, LanguageFacts>> {
    languages
        .iter()
        .map(|&lang| {
            let facts = registry()
                .facts(lang, None)
                .ok_or_else(|| CliError::new(format!("the registry knows nothing of `{lang}`")))?;
            Ok((lang, facts))
        })
        .collect()
}

/// Everything that decides what is in `results.json`.
fn config(job: &Job<'_>, backends: &[&dyn Backend], texts: &SurveyTexts) -> serde_json::Value {
    let settings = job.settings;
    let parallel = texts.parallel.iter().map(|source| &source.register);
    let registers: Vec<_> = parallel
        .chain(texts.words.as_ref().map(|words| &words.register))
        .collect();
    let fingerprints: Vec<&str> = backends
        .iter()
        .map(|backend| backend.fingerprint().hash.as_str())
        .collect();
    let measures: Vec<&str> = settings
        .measures
        .iter()
        .map(|measure| measure.id())
        .collect();
    serde_json::json!({
        "models": job.models,
        "model_hashes": fingerprints,
        "languages": job.languages,
        "reference": settings.reference,
        "texts": registers,
        "items": format!("{:?}", settings.n_items),
        "words": settings.n_words,
        "continuations": settings.n_continuations,
        "continuation_tokens": settings.n_continuation_tokens,
        "measures": measures,
        "complete": settings.complete,
        "seed": settings.seed,
        "truncate": settings.truncate.id(),
        "policy": job.policy.stamp(),
        "samples": job.samples,
    })
}

/// Says what will be done and about how long it takes, before it is begun.
fn announce(
    job: &Job<'_>,
    backends: &[&dyn Backend],
    plans: &[Plan],
    stop: &AtomicBool,
) -> Result<()> {
    for (backend, plan) in backends.iter().zip(plans) {
        let speed = tokens_per_second(*backend, &job.compute.run_settings(stop))?;
        let time = plan.seconds(speed).map_or(String::new(), |(least, most)| {
            format!(
                ", about {} to {} at {speed:.0} tokens/s",
                minutes(least),
                minutes(most)
            )
        });
        output::talk(&format!(
            "{}: {} languages, {} to {} tokens{time}",
            backend.fingerprint().name,
            job.languages.len(),
            plan.n_tokens_least,
            plan.n_tokens_most,
        ));
    }
    Ok(())
}

/// The model's speed on a short batch. Only ever shown, never part of a result.
fn tokens_per_second(backend: &dyn Backend, settings: &RunSettings<'_>) -> Result<f64> {
    const N_SEQUENCES: u32 = 4;
    const N_TOKENS: u32 = 64;
    let jobs = (0..N_SEQUENCES)
        .map(|i| {
            backend.encode(&Request::Score {
                context: Prompt::Tokens((0..N_TOKENS).map(|j| 100 + i + j).collect()),
                continuation: String::new(),
                span: Span::Continuation,
                pool: false,
            })
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let usage = backend.run(&jobs, settings, &mut |_, _| {})?;
    Ok(usage.n_tokens_computed as f64 / begun.elapsed().as_secs_f64())
}

fn minutes(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min", seconds / 60.0)
    }
}

fn spent(model: &str, usage: &Usage, begun: Instant) -> String {
    let memory = machine::peak_memory_bytes().map_or(String::new(), |bytes| {
        format!(", {} MB at the peak", bytes / (1 << 20))
    });
    let cut = match usage.n_tokens_cut {
        0 => String::new(),
        n => format!(", {n} cut from texts too long for it"),
    };
    format!(
        "{model}: {} tokens asked for, {} computed, {} shared with another text, {} already stored{cut}; {:.0} s{memory}",
        usage.n_tokens_requested,
        usage.n_tokens_computed,
        usage.n_tokens_shared,
        usage.n_tokens_stored,
        begun.elapsed().as_secs_f64(),
    )
}

/// The run folder and what earlier sessions left in it.
struct Folder<'a> {
    path: PathBuf,
    /// Of this session, with the totals of the earlier ones.
    info: RunInfo,
    job: &'a Job<'a>,
    /// Of this session, by model.
    retries: Vec<Retries>,
}

impl<'a> Folder<'a> {
    /// Creates the folder, or takes up a run of the same configuration.
    fn open(
        job: &'a Job<'_>,
        config: serde_json::Value,
        backends: &[&dyn Backend],
        retries: Vec<Retries>,
    ) -> Result<Self> {
        files::create_dir_all(job.out)?;
        let path = job.out.join("run.json");
        let earlier: Option<RunInfo> = if path.is_file() {
            let text = files::read_to_string(&path)?;
            Some(serde_json::from_str(&text).map_err(|error| {
                CliError::new(format!("`{}` is damaged: {error}", path.display())).hint(
                    "write to a new `--out`, or delete this file: the answers are in responses.zst",
                )
            })?)
        } else {
            None
        };
        if let Some(earlier) = &earlier
            && let Some(key) = first_difference(&earlier.config, &config)
        {
            return Err(CliError::new(format!(
                "`{}` holds a run with another configuration: `{key}` differs\nexpected {}\nfound {}",
                job.out.display(),
                config[&key],
                earlier.config[&key],
            ))
            .hint("write to a new `--out`, or repeat the run's own settings"));
        }
        let info = RunInfo {
            command: job.command.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            models: backends
                .iter()
                .map(|backend| backend.fingerprint().clone())
                .collect(),
            machine: machine::describe(),
            n_threads: job.compute.n_threads(),
            batch_size: job.compute.batch_size(),
            memory_max_bytes: job.compute.memory_max(),
            seconds: earlier.as_ref().map_or(0.0, |earlier| earlier.seconds),
            peak_memory_bytes: earlier
                .as_ref()
                .map_or(0, |earlier| earlier.peak_memory_bytes),
            retries: earlier
                .as_ref()
                .map_or(Vec::new(), |earlier| earlier.retries.clone()),
            usage: earlier.map_or(Vec::new(), |earlier| earlier.usage),
            complete: false,
        };
        let folder = Self {
            path,
            info,
            job,
            retries,
        };
        folder.write(&folder.info)?;
        Ok(folder)
    }

    /// Writes `run.json` with this session's work added.
    fn write_run(&self, usage: &[Usage], begun: Instant, complete: bool) -> Result<()> {
        let mut info = self.info.clone();
        info.usage.resize(self.job.models.len(), Usage::default());
        for (total, session) in info.usage.iter_mut().zip(usage) {
            *total += *session;
        }
        info.retries.resize(self.job.models.len(), BTreeMap::new());
        for (total, session) in info.retries.iter_mut().zip(&self.retries) {
            for (why, n) in session.counts() {
                *total.entry(why).or_default() += n;
            }
        }
        info.seconds += begun.elapsed().as_secs_f64();
        info.peak_memory_bytes = info
            .peak_memory_bytes
            .max(machine::peak_memory_bytes().unwrap_or(0));
        info.complete = complete;
        self.write(&info)
    }

    fn write(&self, info: &RunInfo) -> Result<()> {
        let json = serde_json::to_string_pretty(info).expect("a run's facts are plain values");
        Ok(files::write_atomic(
            &self.path,
            format!("{json}\n").as_bytes(),
        )?)
    }
}

/// The first key whose values differ.
fn first_difference(a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    let (a, b) = (a.as_object()?, b.as_object()?);
    b.keys().find(|key| a.get(*key) != b.get(*key)).cloned()
}
