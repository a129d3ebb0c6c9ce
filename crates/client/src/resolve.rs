//! From a name, understood, to files on this machine.

use std::path::PathBuf;

use crate::builtin::Builtin;
use crate::error::ClientError;
use crate::hub;
use crate::progress::OnProgress;
use crate::settings::Settings;
use crate::spec::ModelSpec;

/// A model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// A GGUF file, or a folder in Hugging Face layout.
    pub path: PathBuf,
    /// For tables and files: the short name, the hub id as given, or the last part of the path;
    /// with an adapter `MODEL+ADAPTER`.
    /// Never a path, so results do not depend on where a model lies.
    pub name: String,
    /// The license, where it is known.
    pub license: Option<String>,
    /// Folder of the PEFT adapter that is to be applied.
    pub adapter: Option<PathBuf>,
}

/// Brings a model's files to this machine; what is there already is used.
///
/// ```no_run
/// use isogloss_client::{ModelSpec, Settings, resolve};
/// let spec = ModelSpec::parse("smollm2-135m")?;
/// let files = resolve(&spec, &Settings::from_env(), &mut |_| {})?;
/// # Ok::<(), isogloss_client::ClientError>(())
/// ```
pub fn resolve(
    spec: &ModelSpec,
    settings: &Settings,
    on_progress: OnProgress<'_>,
) -> Result<ModelFiles, ClientError> {
    match spec {
        ModelSpec::Builtin(name) => {
            let model = Builtin::named(name).ok_or_else(|| ClientError::Unknown {
                given: name.clone(),
                nearest: Vec::new(),
            })?;
            Ok(ModelFiles {
                path: model.obtain(settings, on_progress)?,
                name: name.clone(),
                license: Some(model.license.clone()),
                adapter: None,
            })
        }
        ModelSpec::Path(path) => Ok(ModelFiles {
            path: path.clone(),
            name: last_part(path),
            license: None,
            adapter: None,
        }),
        ModelSpec::Hub(id) => {
            let (path, license) = hub::obtain(id, settings, on_progress)?;
            Ok(ModelFiles {
                path,
                name: id.to_string(),
                license,
                adapter: None,
            })
        }
        ModelSpec::Adapted { base, adapter } => {
            let base = resolve(base, settings, on_progress)?;
            Ok(ModelFiles {
                name: format!("{}+{}", base.name, last_part(adapter)),
                adapter: Some(adapter.clone()),
                ..base
            })
        }
    }
}

/// `models/a.gguf` → `a.gguf`; `.` → the name of the folder we are in.
fn last_part(path: &std::path::Path) -> String {
    let last = |path: &std::path::Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    last(path)
        .or_else(|| last(&path.canonicalize().ok()?))
        .unwrap_or_else(|| "model".into())
}
