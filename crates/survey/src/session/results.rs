//! From what was found to `results.json`.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::survey::{
    ChoiceResult, CostResult, FailedModel, InformationResult, LanguageResults, LexiconResult,
    ModelResults, RegisterResults, SCHEMA, SurveyResults, SurveySettings, Verdict,
};

use super::outcomes;
use super::tracks::{Track, pairs};
use super::work::Way;
use super::{Session, Survey, second};
use crate::error::SurveyError;
use crate::items::cut::n_chars;
use crate::items::normal::normalize;
use crate::measures::Measure;
use crate::measures::alignment::alignment;
use crate::measures::choice::relative;
use crate::measures::cost::{DocumentSize, cost};
use crate::measures::fidelity::{Reliability, fidelity};
use crate::measures::information::information;
use crate::measures::lexicon::{WordOutcome, lexicon};
use crate::measures::memory::memory;
use crate::policy::{ChoiceEvidence, Decision, Evidence, decide};

/// Languages that others are compared with, where they are in the survey.
const COMPARED_WITH: [&str; 3] = ["fra", "spa", "deu"];

/// The whole of `results.json`.
pub(super) fn of_survey(
    survey: &Survey<'_>,
    tracks: &[Track],
    models: Vec<ModelResults>,
    failed: Vec<FailedModel>,
) -> SurveyResults {
    let settings = survey.settings;
    let parallel = survey
        .texts
        .parallel
        .iter()
        .map(|source| source.register.clone());
    let words = survey
        .texts
        .words
        .iter()
        .map(|source| source.register.clone());
    let n_most = tracks.iter().map(|track| track.n_first).max().unwrap_or(0) * crate::items::GROUP;
    SurveyResults {
        schema: SCHEMA.to_owned(),
        version: survey.version.to_owned(),
        settings: SurveySettings {
            reference: settings.reference,
            registers: parallel.chain(words).collect(),
            n_items: match settings.n_items {
                crate::plan::ItemCount::First(_) => settings.n_items.n_first(0),
                crate::plan::ItemCount::All => n_most,
            },
            n_words: settings.n_words,
            n_continuations: settings.n_continuations,
            n_continuation_tokens: settings.n_continuation_tokens,
            measures: settings
                .measures
                .iter()
                .map(|m| m.id().to_owned())
                .collect(),
            complete: settings.complete,
            seed: settings.seed,
        },
        policy: survey.policy.stamp(),
        measures: settings
            .measures
            .iter()
            .map(|measure| measure.card())
            .collect(),
        languages: survey.languages.clone(),
        models,
        failed,
        comparisons: Vec::new(),
    }
}

/// One track's results, with what the policy needs beside them.
struct OfTrack {
    lang: Lang,
    register: String,
    is_own: bool,
    /// Whether a verdict may rest on it.
    decides: bool,
    results: RegisterResults,
    comprehension: Option<ChoiceEvidence>,
    production: Option<ChoiceEvidence>,
    reliability: Reliability,
    halted: Option<String>,
}

impl OfTrack {
    fn is_memorized(&self) -> bool {
        self.results.memory.is_some_and(|memory| memory.flagged)
    }
}

/// One model's results.
pub(super) fn of_model(session: &Session<'_>) -> Result<ModelResults, SurveyError> {
    let survey = session.survey;
    let mut by_lang: BTreeMap<Lang, Vec<OfTrack>> = BTreeMap::new();
    for index in 0..session.works.len() {
        let track = of_track(session, index)?;
        by_lang.entry(track.lang).or_default().push(track);
    }
    let reference = survey.settings.reference;
    let measured: Vec<Lang> = survey
        .languages
        .keys()
        .copied()
        .filter(|&lang| lang != reference)
        .collect();
    let no_tracks = Vec::new();
    let evidence: Vec<Evidence> = measured
        .iter()
        .map(|&lang| evidence(session, lang, by_lang.get(&lang).unwrap_or(&no_tracks)))
        .collect();
    let decisions = decide(&evidence, survey.policy);
    let mut languages: BTreeMap<Lang, LanguageResults> = BTreeMap::new();
    for (&lang, decision) in measured.iter().zip(decisions) {
        let tracks = by_lang.remove(&lang).unwrap_or_default();
        languages.insert(lang, of_language(session, lang, tracks, decision));
    }
    add_relative(&mut languages, survey);
    if survey.languages.contains_key(&reference) {
        languages.insert(reference, of_reference(session)?);
    }
    Ok(ModelResults {
        name: session.runner.backend().fingerprint().name.clone(),
        fingerprint: session.runner.backend().fingerprint().clone(),
        languages,
    })
}

fn of_track(session: &Session<'_>, index: usize) -> Result<OfTrack, SurveyError> {
    let survey = session.survey;
    let work = &session.works[index];
    let lang = work.track.lang;
    let seed = session.seed(lang);
    let source = &survey.texts.parallel[work.track.source];
    let comprehension = session
        .evidence(index, Way::To)
        .filter(|_| session.wants(Measure::Comprehension));
    let production = session.evidence(index, Way::From);
    let information = information(&work.bits, seed).filter(|_| session.wants(Measure::Information));
    let reliability = (survey.hearing.reliability)(lang);
    let fidelity = fidelity(&work.continuations, reliability, &work.chat)
        .filter(|_| session.wants(Measure::Fidelity));
    let memory = session
        .wants(Measure::Memory)
        .then(|| {
            memory(
                &work.continuations,
                information.map(|information| information.bits_per_byte),
                survey.policy.thresholds.memory_verbatim,
            )
        })
        .flatten();
    let alignment = work.similarities.as_ref().and_then(|similarities| {
        let lengths = |way: Way| -> Vec<usize> {
            let contexts = work
                .first()
                .iter()
                .flat_map(|group| &way.side(group).contexts);
            contexts.map(|text| n_chars(text)).collect()
        };
        alignment(similarities, &lengths(Way::To), &lengths(Way::From), seed)
    });
    Ok(OfTrack {
        lang,
        register: source.register.id.clone(),
        is_own: source.is_own,
        decides: source.decides(),
        results: RegisterResults {
            comprehension: comprehension.map(|evidence| evidence.result),
            production: production.map(|evidence| evidence.result),
            lexicon: None,
            fidelity,
            alignment,
            information,
            cost: of_cost(session, work.track)?,
            memory,
            translations: second::of_track(session, index),
            outcomes: outcomes::of_texts(work),
        },
        comprehension,
        production,
        reliability,
        halted: work.halted.clone(),
    })
}

/// Token premium over all documents of the register, whole.
fn of_cost(session: &Session<'_>, track: &Track) -> Result<Option<CostResult>, SurveyError> {
    if !session.wants(Measure::Cost) {
        return Ok(None);
    }
    let backend = session.runner.backend();
    let source = &session.survey.texts.parallel[track.source];
    let mut documents = Vec::new();
    for pair in pairs(source, track.lang, session.survey.settings.reference) {
        let (text, reference) = (normalize(pair.text), normalize(pair.reference));
        documents.push(DocumentSize {
            n_tokens: backend.tokenize(&text)?.len(),
            n_tokens_reference: backend.tokenize(&reference)?.len(),
            n_bytes: text.len(),
            n_bytes_reference: reference.len(),
        });
    }
    let context_length = backend.fingerprint().context_length;
    Ok(cost(&documents, context_length, session.seed(track.lang)))
}

/// The track that decides: the user's own text first, then the first one that is not known by heart.
fn deciding(tracks: &[OfTrack]) -> Option<&OfTrack> {
    let may_decide = || tracks.iter().filter(|track| track.decides);
    let usable = || may_decide().filter(|track| !track.is_memorized());
    usable()
        .find(|track| track.is_own)
        .or_else(|| usable().next())
        .or_else(|| may_decide().next())
}

fn evidence(session: &Session<'_>, lang: Lang, tracks: &[OfTrack]) -> Evidence {
    let lexicon = lexicon_of(session, lang);
    let track = deciding(tracks);
    let n_text = tracks
        .iter()
        .filter(|track| track.decides && !track.is_memorized() && track.comprehension.is_some())
        .count();
    Evidence {
        has_text: track.is_some(),
        memorized: track.is_some_and(OfTrack::is_memorized),
        comprehension: track.and_then(|track| track.comprehension),
        production: track.and_then(|track| track.production),
        lexicon,
        fidelity: track.and_then(|track| Some((track.results.fidelity?, track.reliability))),
        n_looks: session.survey.settings.n_items.n_looks(),
        n_registers: n_text + usize::from(lexicon.is_some()),
    }
}

fn lexicon_of(session: &Session<'_>, lang: Lang) -> Option<LexiconResult> {
    let words: Vec<WordOutcome> = session
        .words
        .get(&lang)?
        .iter()
        .map(|(_, outcome)| *outcome)
        .collect();
    lexicon(&words)
}

fn of_language(
    session: &Session<'_>,
    lang: Lang,
    tracks: Vec<OfTrack>,
    decision: Decision,
) -> LanguageResults {
    let lexicon = lexicon_of(session, lang);
    let halted = deciding(&tracks).and_then(|track| track.halted.clone());
    let main = deciding(&tracks)
        .map(|track| track.results.clone())
        .unwrap_or_default();
    let has_text = tracks.iter().any(|track| track.decides);
    let mut registers: BTreeMap<String, RegisterResults> = tracks
        .into_iter()
        .map(|track| (track.register, track.results))
        .collect();
    if let (Some(result), Some(words)) = (lexicon, &session.survey.texts.words) {
        let of_words = registers.entry(words.register.id.clone()).or_default();
        of_words.lexicon = Some(result);
        of_words.outcomes = session
            .words
            .get(&lang)
            .map(|words| outcomes::of_words(words));
    }
    let mut results = LanguageResults {
        comprehension: main.comprehension,
        production: main.production,
        lexicon,
        fidelity: main.fidelity,
        alignment: main.alignment,
        information: main.information,
        cost: main.cost,
        memory: main.memory,
        translations: main.translations,
        verdict: decision.verdict,
        provisional: decision.provisional,
        reason: decision.reason,
        not_measured: BTreeMap::new(),
        registers,
    };
    results.not_measured = not_measured(session, &results, lang, has_text, halted.as_deref());
    results
}

/// Why measures that were asked for are missing.
fn not_measured(
    session: &Session<'_>,
    results: &LanguageResults,
    lang: Lang,
    has_text: bool,
    halted: Option<&str>,
) -> BTreeMap<String, String> {
    let present = |measure: Measure| match measure {
        Measure::Comprehension => results.comprehension.is_some(),
        Measure::Production => results.production.is_some(),
        Measure::Lexicon => results.lexicon.is_some(),
        Measure::Fidelity => results.fidelity.is_some(),
        Measure::Alignment => results.alignment.is_some(),
        Measure::Information => results.information.is_some(),
        Measure::Cost => results.cost.is_some(),
        Measure::Memory => results.memory.is_some(),
    };
    let has_words = session
        .survey
        .texts
        .words
        .as_ref()
        .is_some_and(|words| words.entries.contains_key(&lang));
    session
        .survey
        .settings
        .measures
        .iter()
        .filter(|&&measure| !present(measure))
        .map(|&measure| {
            let reason = if !session.wants(measure) {
                "the model cannot be asked for it".to_owned()
            } else if measure == Measure::Lexicon && !has_words {
                "there are no words of this language".to_owned()
            } else if measure != Measure::Lexicon && !has_text {
                "there is no running text in this language: give your own with `--text`".to_owned()
            } else {
                halted.unwrap_or("there are too few documents").to_owned()
            };
            (measure.id().to_owned(), reason)
        })
        .collect()
}

/// The reference's own entry: it is what the others are measured against.
fn of_reference(session: &Session<'_>) -> Result<LanguageResults, SurveyError> {
    let settings = session.survey.settings;
    let backend = session.runner.backend();
    let source = session
        .survey
        .texts
        .parallel
        .iter()
        .filter(|source| source.documents.contains_key(&settings.reference))
        .filter(|source| source.decides())
        .max_by_key(|source| source.is_own);
    let mut sizes = Vec::new();
    if let Some(source) = source.filter(|_| session.wants(Measure::Cost)) {
        for text in source.documents[&settings.reference].values() {
            let text = normalize(text);
            let n_tokens = backend.tokenize(&text)?.len();
            sizes.push(DocumentSize {
                n_tokens,
                n_tokens_reference: n_tokens,
                n_bytes: text.len(),
                n_bytes_reference: text.len(),
            });
        }
    }
    let itself = "the reference is not measured against itself";
    let results = LanguageResults {
        comprehension: None,
        production: None,
        lexicon: None,
        fidelity: None,
        alignment: None,
        information: information_of_reference(session),
        cost: cost(
            &sizes,
            backend.fingerprint().context_length,
            session.seed(settings.reference),
        ),
        memory: None,
        translations: None,
        verdict: Verdict::Reference,
        provisional: false,
        reason: "the language that the others are measured against".to_owned(),
        not_measured: BTreeMap::new(),
        registers: BTreeMap::new(),
    };
    let not_measured = [
        (Measure::Comprehension, true),
        (Measure::Production, true),
        (Measure::Lexicon, true),
        (Measure::Fidelity, true),
        (Measure::Alignment, true),
        (Measure::Information, results.information.is_none()),
        (Measure::Cost, results.cost.is_none()),
        (Measure::Memory, true),
    ]
    .into_iter()
    .filter(|(measure, missing)| *missing && settings.measures.contains(measure))
    .map(|(measure, _)| (measure.id().to_owned(), itself.to_owned()))
    .collect();
    Ok(LanguageResults {
        not_measured,
        ..results
    })
}

/// Parity 1 by definition, and the bits of the reference's texts as they were seen with the language
/// that has most of them.
fn information_of_reference(session: &Session<'_>) -> Option<InformationResult> {
    if !session.wants(Measure::Information) {
        return None;
    }
    let decides = |index: &usize| session.decides(*index);
    let index = (0..session.works.len())
        .filter(decides)
        .max_by_key(|&index| session.works[index].bits.len())?;
    let work = &session.works[index];
    let n = work.bits.len();
    let texts = || {
        work.first()
            .iter()
            .flat_map(|group| &group.from_reference.contexts)
    };
    let n_bits: f64 = work
        .bits
        .iter()
        .map(|document| document.bits_reference)
        .sum();
    let n_bytes: usize = texts().map(String::len).sum();
    let n_characters: usize = texts().map(|text| n_chars(text)).sum();
    (n > 0 && n_bytes > 0).then(|| InformationResult {
        value: 1.0,
        low: 1.0,
        high: 1.0,
        n,
        bits_per_byte: n_bits / n_bytes as f64,
        bits_per_character: n_bits / n_characters as f64,
    })
}

/// κ and G relative to the mean of French, Spanish and German.
fn add_relative(languages: &mut BTreeMap<Lang, LanguageResults>, survey: &Survey<'_>) {
    type Choice = fn(&mut LanguageResults) -> &mut Option<ChoiceResult>;
    let ways: [Choice; 2] = [
        |results| &mut results.comprehension,
        |results| &mut results.production,
    ];
    let thresholds = &survey.policy.thresholds;
    for choice in ways {
        let (mut kappas, mut gains) = (Vec::new(), Vec::new());
        for code in COMPARED_WITH {
            let lang: Lang = code.parse().expect("ISO 639-3 codes");
            if let Some(result) = languages
                .get_mut(&lang)
                .and_then(|results| *choice(results))
            {
                kappas.push(result.value);
                gains.extend(result.gain.map(|gain| gain.value));
            }
        }
        for results in languages.values_mut() {
            let Some(result) = choice(results) else {
                continue;
            };
            result.relative = relative(result.value, &kappas, thresholds.relative_kappa);
            if let Some(gain) = &mut result.gain {
                gain.relative = relative(gain.value, &gains, thresholds.relative_gain);
            }
        }
    }
}
