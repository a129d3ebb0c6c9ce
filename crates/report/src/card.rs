//! Cards of the models for the atlas's last section: what exactly was measured.

use isogloss_record::survey::SurveyResults;
use serde::Serialize;

use isogloss_record::number::count;

/// Facts about the models for the last section.
#[derive(Serialize)]
pub(crate) struct ModelCard {
    name: String,
    architecture: String,
    weights: String,
    parameters: String,
    context: String,
    license: String,
    hash: String,
}

/// What exactly was measured.
pub(crate) fn model_cards(results: &SurveyResults) -> Vec<ModelCard> {
    results
        .models
        .iter()
        .map(|model| ModelCard {
            name: model.name.clone(),
            architecture: model.fingerprint.architecture.clone(),
            weights: format!(
                "{}, computed in {}",
                model.fingerprint.quantization, model.fingerprint.compute
            ),
            parameters: model
                .fingerprint
                .n_parameters
                .map_or_else(|| "–".into(), count),
            context: count(model.fingerprint.context_length as u64),
            license: model
                .fingerprint
                .license
                .clone()
                .unwrap_or_else(|| "not stated".into()),
            hash: model.fingerprint.hash.clone(),
        })
        .collect()
}
