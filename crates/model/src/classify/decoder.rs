//! A decoder with a head: the state of the last token goes through one layer.

use std::path::Path;
use std::sync::Arc;

use isogloss_record::{Fingerprint, Response, Usage};

use crate::arch::read::Reader;
use crate::arch::{Linear, ModelError};
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::Config;
use crate::checkpoint::headed::Headed;
use crate::checkpoint::settings::Settings;
use crate::encoder::config::{labels, problem};
use crate::encoder::network::{check_ids, isa};
use crate::encoder::sentence::pooled_job;
use crate::encoder::{Problem, TokenText};
use crate::engine::{EngineError, EngineOptions, LoadError, Network};
use crate::kernel::gemm::dot;
use crate::kernel::{Compute, Isa, Rows};

/// A decoder with its head in memory.
pub(super) struct HeadedDecoder {
    pub(super) config: Config,
    network: Network,
    isa: Isa,
    head: Linear,
    /// Trailing tokens of this id do not count: transformers reads the state of the last token that
    /// is not padding, and takes for padding whatever looks like it.
    pad_id: Option<u32>,
    pub(super) labels: Vec<String>,
    pub(super) problem: Problem,
    pub(super) fingerprint: Fingerprint,
}

impl HeadedDecoder {
    pub(super) fn of_headed(
        headed: Headed,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let failed = |source: LoadError| EngineError::Load {
            name: name.to_owned(),
            source,
        };
        let config = headed.checkpoint.config.clone();
        let path = headed.checkpoint.path().join("config.json");
        let settings = |json| Settings { path: &path, json };
        let top = settings(&headed.config);
        let labels = labels(&top)?;
        let problem = problem(&top, labels.len())?;
        let text = headed
            .config
            .get("text_config")
            .filter(|json| json.is_object());
        let text = text.map_or(top, settings);
        let pad = text.token_ids("pad_token_id", config.vocab_size)?;
        let head = self::head(&headed, labels.len(), config.d_model);
        let head = head.map_err(|source| failed(LoadError::Model(source)))?;
        let options = EngineOptions {
            pool_after_norm: true,
            ..options.clone()
        };
        let isa = isa(&options);
        let headed = Arc::new(headed);
        let network = Network::load(&config, headed.clone(), name, None, &options);
        let network = network.map_err(failed)?;
        let mut fingerprint = network.install(|| headed.checkpoint.fingerprint(name));
        options.compute.name().clone_into(&mut fingerprint.compute);
        Ok(Self {
            config,
            network,
            isa,
            head,
            pad_id: pad.first().copied(),
            labels,
            problem,
            fingerprint,
        })
    }

    pub(super) fn open(
        path: &Path,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        Self::of_headed(Headed::open(path)?, name, options)
    }

    pub(super) fn score(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_logits: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError> {
        texts.iter().try_for_each(|text| self.check(text))?;
        let (name, c) = (&self.fingerprint.name, &self.config);
        let jobs: Vec<_> = texts
            .iter()
            .map(|text| pooled_job(self.used(&text.ids)))
            .collect();
        let mut logits: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        let no_text = |_: &[u32]| String::new();
        let mut x = Rows::new(c.d_model);
        x.set_rows(1);
        let usage = (self.network).run(&jobs, settings, &[], &no_text, &mut |i, response| {
            if let Response::Score {
                pooled: Some(pooled),
                ..
            } = response
            {
                let state = pooled.last.last().expect("a decoder has a layer");
                x.row_mut(0).copy_from_slice(state);
                logits[i] = (0..self.labels.len())
                    .map(|label| {
                        let bias = self.head.bias.get(label).copied().unwrap_or(0.0);
                        dot(self.isa, &x, &self.head.weight, label) + bias
                    })
                    .collect();
            }
        })?;
        for (i, logits) in logits.into_iter().enumerate() {
            if !logits.iter().all(|x| x.is_finite()) {
                return Err(BackendError::NotFinite {
                    model: name.clone(),
                    place: "the logits".into(),
                });
            }
            on_logits(i, logits);
        }
        Ok(usage)
    }

    /// Refuses what cannot be computed.
    pub(super) fn check(&self, text: &TokenText) -> Result<(), BackendError> {
        let (name, c) = (&self.fingerprint.name, &self.config);
        check_ids(name, &text.ids, c.vocab_size, c.context_length)
    }

    /// The ids up to the last that is not padding; the first alone where all are.
    fn used<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        let Some(pad) = self.pad_id else { return ids };
        let last = ids.iter().rposition(|id| *id != pad).unwrap_or(0);
        &ids[..=last]
    }
}

fn head(headed: &Headed, n_labels: usize, d_model: usize) -> Result<Linear, ModelError> {
    let read = Reader::new(headed, Compute::F32);
    let names = ["score".to_owned()];
    if read.has("score.bias") {
        read.biased(&names, n_labels, d_model)
    } else {
        read.projections(&names, n_labels, d_model)
    }
}
