//! `isogloss survey`: which languages does a model serve, and how sure is that?

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Subcommand;
use isogloss_lang::registry;
use isogloss_model::checkpoint::Format;
use isogloss_record::{Lang, Seed, files};
use isogloss_survey::{ItemCount, Policy, Settings};

use crate::args::{Compute, Fit};
use crate::command::validate;
use crate::error::Result;
use crate::job::{self, Job, RegisterName, Texts};
use crate::model;

/// Draw the line of one model or several: which languages do they serve?
///
/// Measures comprehension, production, lexicon, fidelity, alignment, information and cost in every
/// language, each with its interval, and decides: served, partly, not served, cannot say. Writes an
/// atlas that opens in a browser. Running the same command again resumes. Of several models, one that
/// fails leaves the others' results whole: it is listed with its reason, and the exit status is 3.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss survey smollm2-135m --langs ha,eu,or,kk --out my-run
  isogloss survey ./model-a ./model-b --langs all --fast --out fast-run
  isogloss survey gemma3-270m --langs sw,ha --text my-pairs.tsv --out own-run
  isogloss survey gemma3-270m gemma3-270m+./my-lora --langs sw,ha,en --out before-and-after
  isogloss survey smollm2-135m smollm2-135m@q4_k_m --langs sw,fr --out what-four-bits-cost
  isogloss survey scripted:knows:fra=.9,hau=.1/0/.5 --langs fr,ha,eu --out planted

Planted truth: a model named scripted:VARIANT[:SKILLS] has no weights and knows the survey's own
texts by its skills, so that what the survey says can be held against what is true.
  SKILLS    by commas; fra=.9: it understands a French text with probability .9, and as often
            writes French and stays in it; hau=.1/0/.5: comprehension, production, fidelity apart;
            other=.5: all other languages; seed=1: which texts it happens to know;
            fails=300: it fails after so many answers
  VARIANT   knows, ignores-context, reads-length, copies-names, position (prefers one option)
A token of theirs is a character, so their continuations are short and fidelity comes out low.")]
pub(crate) struct Args {
    /// Models: paths, hub ids (`org/name`), short names (`smollm2-135m`), servers
    /// (`http://127.0.0.1:8377/v1#model`, the key in ISOGLOSS_API_KEY) or `scripted:` ones;
    /// `MODEL+DIR` adds a PEFT adapter
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,

    /// Languages by commas: codes or names, `all`, `script:Deva`, `family:turkic`
    #[arg(long, value_name = "LIST")]
    langs: String,

    /// Folder of the run; created if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Language whose texts are the other side of every measure
    #[arg(long, value_name = "LANG", default_value = "eng")]
    reference: String,

    /// Your own pairs: a TSV file, or a folder of aligned line files
    ///
    /// TSV: the header names the languages, a row holds one text in each. Folder: `eng.txt`,
    /// `hau_Latn.txt`…, line by line the same content. They replace the embedded running text.
    #[arg(long, value_name = "PATH")]
    text: Option<PathBuf>,

    /// Texts that the program ships, by commas [default: udhr,words; with --text: words]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    registers: Vec<RegisterName>,

    /// Format of the weights, or several by commas: each model is surveyed in each, as llama.cpp's
    /// `llama-quantize` would write it (f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0, q3_k_m, q2_k…)
    ///
    /// `MODEL@FORMAT` in place of a model's name does it for one, here and in `score`, `generate`,
    /// `hidden` and `serve`.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    at: Vec<Format>,

    /// Comprehension on 8 items, 24 words, information and cost only
    #[arg(long)]
    fast: bool,

    /// Text items per language: a number, or `all` [default: 12, with --fast 8]
    #[arg(long, value_name = "N|all", value_parser = item_count)]
    items: Option<ItemCount>,

    /// Words per language [default: 48, with --fast 24]
    #[arg(long, value_name = "N")]
    words: Option<usize>,

    /// Continuations per language [default: 4]
    #[arg(long, value_name = "N")]
    continuations: Option<usize>,

    /// Measure languages to the end even where they are at their floor
    #[arg(long)]
    complete: bool,

    /// Thresholds of the verdicts, as in `packs/policies/default.toml`
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    fit: Fit,

    /// Leave sample texts out of the results and the atlas
    #[arg(long)]
    no_samples: bool,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

fn item_count(text: &str) -> std::result::Result<ItemCount, String> {
    match text {
        "all" => Ok(ItemCount::All),
        number => match number.parse() {
            Ok(n) if n >= 4 => Ok(ItemCount::First(n)),
            _ => Err("expected a number from 4 up, or `all`".to_owned()),
        },
    }
}

/// A survey, or a study of what surveys are worth. (By hand: no derive makes what a survey needs
/// optional where a study is named.)
pub(crate) enum Command {
    Survey(Args),
    Study(validate::Command),
}

impl clap::Args for Command {
    fn augment_args(command: clap::Command) -> clap::Command {
        validate::Command::augment_subcommands(Args::augment_args(command))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
            .subcommand_required(false)
            .arg_required_else_help(false)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Command {
    fn from_arg_matches(matches: &clap::ArgMatches) -> std::result::Result<Self, clap::Error> {
        if matches.subcommand_name().is_some() {
            validate::Command::from_arg_matches(matches).map(Self::Study)
        } else {
            Args::from_arg_matches(matches).map(Self::Survey)
        }
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &clap::ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(crate) fn run(command: &Command, stop: &AtomicBool) -> Result<()> {
    match command {
        Command::Study(study) => validate::run(study, stop),
        Command::Survey(args) => survey(args, stop),
    }
}

fn survey(args: &Args, stop: &AtomicBool) -> Result<()> {
    let registry = registry();
    let reference: Lang = registry.resolve(&args.reference)?;
    let texts = Texts::gather(args.text.as_deref())?.choosing(&args.registers, Seed(args.seed));
    let models = model::in_formats(&args.models, &args.at)?;
    let languages = registry.select(&args.langs, &texts.languages())?;
    let defaults = if args.fast {
        Settings::fast()
    } else {
        Settings::full()
    };
    let settings = Settings {
        reference,
        n_items: args.items.unwrap_or(defaults.n_items),
        n_words: args.words.unwrap_or(defaults.n_words),
        n_continuations: args.continuations.unwrap_or(defaults.n_continuations),
        complete: args.complete,
        seed: Seed(args.seed),
        truncate: args.fit.truncate(),
        ..defaults
    };
    let policy = match &args.policy {
        None => Policy::shipped(),
        Some(path) => Policy::parse(&path.display().to_string(), &files::read_to_string(path)?)?,
    };
    job::run(
        &Job {
            command: "survey",
            models: &models,
            languages: &languages,
            texts: &texts,
            settings: &settings,
            policy: &policy,
            out: &args.out,
            samples: !args.no_samples,
            json: args.json,
            prints: true,
            compute: &args.compute,
        },
        stop,
    )?;
    Ok(())
}
