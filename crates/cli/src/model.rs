//! From a name to a model that can be asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use isogloss_client::{
    ModelFiles, ModelSpec, Progress, ServerAddress, ServerModel, ServerSettings, Settings,
};
use isogloss_lang::registry;
use isogloss_model::Backend;
use isogloss_model::checkpoint::Format;
use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::scripted::{KnownText, ScriptedModel, ScriptedSpec};
use isogloss_model::seq2seq::Seq2Seq;
use isogloss_record::Lang;
use isogloss_survey::{known_texts, text};

use crate::error::{CliError, Result};
use crate::job::Texts;
use crate::output;
use crate::progress::{self, Unit};

/// Beginning of the names of scripted models.
const SCRIPTED: &str = "scripted:";

/// Every model in every format, by the names of [`split_format`]; as they are where none is given.
pub(crate) fn in_formats(models: &[String], formats: &[Format]) -> Result<Vec<String>> {
    if formats.is_empty() {
        return Ok(models.to_vec());
    }
    let mut all = Vec::with_capacity(models.len() * formats.len());
    for model in models {
        if ServerAddress::is_one(model) || model.starts_with(SCRIPTED) {
            return Err(no_weights(model));
        }
        if split_format(model)?.1.is_some() {
            return Err(CliError::new(format!("`{model}` names its format already"))
                .hint("leave out `--at`, or the format behind the name"));
        }
        all.extend(formats.iter().map(|format| format!("{model}@{format}")));
    }
    Ok(all)
}

fn no_weights(model: &str) -> CliError {
    CliError::new(format!(
        "`{model}` has no weights here that could be brought to another format"
    ))
    .hint("give a model's files, or start the server with a model of that format")
}

/// `MODEL@FORMAT` as model and format. A name without one is left whole, and so are a hub revision,
/// a file with an `@` in its name, and a server's model, which may be called so.
fn split_format(name: &str) -> Result<(&str, Option<Format>)> {
    let Some((model, format)) = name.rsplit_once('@') else {
        return Ok((name, None));
    };
    if model.is_empty() || Path::new(name).exists() || ServerAddress::is_one(name) {
        return Ok((name, None));
    }
    match format.parse() {
        Ok(_) if model.starts_with(SCRIPTED) => Err(no_weights(model)),
        Ok(format) => Ok((model, Some(format))),
        Err(error) if is_format(format) => Err(CliError::new(format!("`{name}`: {error}"))),
        Err(_) => Ok((name, None)),
    }
}

/// Whether it looks like a format (`q4`, `iq3_xs`, `bf16`), known or not.
fn is_format(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["iq", "tq", "q", "bf", "f"].iter().any(|start| {
        lower
            .strip_prefix(start)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// The files behind a name; fetched once where the name is not a path.
pub(crate) fn locate(name: &str, quiet: bool) -> Result<ModelFiles> {
    if name.starts_with(SCRIPTED) {
        return Err(CliError::new(format!(
            "`{name}` has no files and no tokenizer: it reads one token a character"
        ))
        .hint("scripted models work with `survey`, `score`, `generate` and `hidden`"));
    }
    let spec = ModelSpec::parse(name)?;
    let mut bar: Option<indicatif::ProgressBar> = None;
    let files = isogloss_client::resolve(&spec, &Settings::from_env(), &mut |event| match event {
        Progress::License { name, license, url } => {
            output::talk(&format!(
                "fetching {name}, licensed under {license} ({url})"
            ));
        }
        Progress::Waiting { path } => {
            output::talk(&format!(
                "another process is fetching {}: waiting for it",
                path.display()
            ));
        }
        Progress::Bytes { what, done, total } => {
            let bar =
                bar.get_or_insert_with(|| progress::bar(total.unwrap_or(0), Unit::Bytes, quiet));
            bar.set_message(what.to_owned());
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        Progress::Retry { what, why, wait_ms } => {
            output::talk(&format!("{what}: {why}; trying again in {wait_ms} ms"));
        }
        _ => {}
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(files?)
}

/// The files behind the name of a model that is neither scripted nor behind a server nor adapted.
pub(crate) fn locate_alone(name: &str) -> Result<ModelFiles> {
    if ServerAddress::is_one(name) {
        return Err(CliError::new(format!(
            "`{name}` is a server: this command needs the model's files"
        ))
        .hint("give a path or a hub id (`org/name`)"));
    }
    let files = locate(name, false)?;
    if files.adapter.is_some() {
        return Err(CliError::new(format!(
            "`{name}`: an adapter over an encoder or a classifier is not supported"
        ))
        .hint("merge the adapter into the model and give the merged folder"));
    }
    Ok(files)
}

/// A model of a survey: the native engine, one behind a server, or a scripted model that has seen
/// `known`.
pub(crate) fn open(
    name: &str,
    options: &EngineOptions,
    reference: Lang,
    known: impl FnOnce() -> Vec<KnownText>,
    retries: &Retries,
    quiet: bool,
) -> Result<Box<dyn Backend>> {
    split_format(name)?;
    if name.starts_with(SCRIPTED) {
        return Ok(Box::new(scripted(name, reference, &known())?));
    }
    if ServerAddress::is_one(name) {
        let model = server(name, retries)?;
        // Nearly every measure needs them: better said now than in every row of the atlas.
        model.check_scoring()?;
        return Ok(Box::new(model));
    }
    engine(name, options, quiet)
}

/// A model for lines of input: where it is scripted, it has seen the shipped texts.
pub(crate) fn open_for_lines(name: &str, options: &EngineOptions) -> Result<Box<dyn Backend>> {
    split_format(name)?;
    if ServerAddress::is_one(name) {
        return Ok(Box::new(server(name, &Retries::default())?));
    }
    if !name.starts_with(SCRIPTED) {
        return engine(name, options, false);
    }
    if options.pool_after_norm {
        return Err(
            CliError::new(format!("`{name}` has no final norm")).hint("leave out `--after-norm`")
        );
    }
    let english: Lang = registry().resolve("eng")?;
    let texts = Texts::gather(None)?.of(&text::languages());
    let known = known_texts(&texts, english);
    Ok(Box::new(scripted(name, english, &known)?))
}

/// A model with adapters beside it, each under a name of its own.
pub(crate) fn open_beside(
    name: &str,
    adapters: &[(String, PathBuf)],
    options: &EngineOptions,
) -> Result<Box<dyn Backend>> {
    if adapters.is_empty() {
        return open_for_lines(name, options);
    }
    let refused = |why: &str| {
        Err(
            CliError::new(format!("no adapter can lie beside `{name}`: {why}"))
                .hint("give a model's files without an adapter of its own"),
        )
    };
    if ServerAddress::is_one(name) || name.starts_with(SCRIPTED) {
        return refused("it has no weights here");
    }
    let (name, options) = in_its_format(name, options)?;
    let files = locate(name, false)?;
    if files.adapter.is_some() {
        return refused("it has one in its weights");
    }
    let shown = named(&files.name, &options);
    let mut names = vec![shown.as_str()];
    for (adapter, _) in adapters {
        if names.contains(&adapter.as_str()) {
            return Err(
                CliError::new(format!("two models would be called `{adapter}`"))
                    .hint("give each `--adapter` a name of its own"),
            );
        }
        names.push(adapter);
    }
    let engine = Engine::open_beside(&files.path, &shown, adapters, &options)?;
    Ok(Box::new(engine))
}

/// Requests to a server that were sent again: how often, by what had happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retries(Arc<Mutex<BTreeMap<String, u64>>>);

impl Retries {
    fn add(&self, why: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(why.to_owned()).or_default() += 1;
    }

    /// So far.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A model behind a server; requests that are sent again are told and counted.
fn server(name: &str, retries: &Retries) -> Result<ServerModel> {
    let address = ServerAddress::parse(name)?;
    let shown = address.to_string();
    let retries = retries.clone();
    let on_retry = Arc::new(move |why: &str, wait_ms: u64| {
        retries.add(why);
        output::talk(&format!("{shown}: {why}; trying again in {wait_ms} ms"));
    });
    Ok(ServerModel::open(
        &address,
        &ServerSettings::from_env(),
        Some(on_retry),
    )?)
}

fn engine(name: &str, options: &EngineOptions, quiet: bool) -> Result<Box<dyn Backend>> {
    let (name, options) = in_its_format(name, options)?;
    let files = locate(name, quiet)?;
    if files.adapter.is_none() && Seq2Seq::is_one(&files.path) {
        if let Some(format) = options.at {
            return Err(CliError::new(format!(
                "`{name}` is an encoder-decoder: only decoders can be brought to {format}"
            ))
            .hint("leave out the format"));
        }
        return Ok(Box::new(Seq2Seq::open(&files.path, &files.name, &options)?));
    }
    let shown = named(&files.name, &options);
    let engine = match &files.adapter {
        None => Engine::open(&files.path, &shown, &options)?,
        Some(adapter) => Engine::open_adapted(&files.path, adapter, &shown, &options)?,
    };
    Ok(Box::new(engine))
}

/// A name without its format, which goes into the options.
fn in_its_format<'a>(name: &'a str, options: &EngineOptions) -> Result<(&'a str, EngineOptions)> {
    let (name, at) = split_format(name)?;
    let at = at.or(options.at);
    Ok((
        name,
        EngineOptions {
            at,
            ..options.clone()
        },
    ))
}

/// What a model is called in results.
fn named(name: &str, options: &EngineOptions) -> String {
    match options.at {
        None => name.to_owned(),
        Some(format) => format!("{name}@{format}"),
    }
}

/// A model with planted truth; its languages are those of the registry, as they are at hand.
fn scripted(name: &str, reference: Lang, known: &[KnownText]) -> Result<ScriptedModel> {
    let mut spec: ScriptedSpec = name.parse()?;
    spec.reference = reference;
    let mut at_hand: Vec<Lang> = known.iter().map(|text| text.lang).collect();
    at_hand.dedup();
    spec.skills = std::mem::take(&mut spec.skills)
        .into_iter()
        .map(|(lang, skill)| {
            let code = lang.to_string();
            let known = registry().resolve(&code)?;
            let selected = registry().select(&code, &at_hand);
            Ok((selected.map_or(known, |found| found[0]), skill))
        })
        .collect::<Result<_>>()?;
    Ok(ScriptedModel::new(&spec, known))
}
