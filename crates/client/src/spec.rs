//! What a user may write where a model is expected.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::builtin::Builtin;
use crate::error::ClientError;
use crate::installer::hide_credentials;

/// A model's name, understood.
///
/// The first that fits, in this order: a built-in short name, an existing file or folder, a hub
/// id. So a short name means the same file everywhere (write `./smollm2-135m` for a folder of
/// that name), and a local `org/name` folder wins over the hub. Last, `MODEL+ADAPTER`: any of
/// these with an adapter's folder over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    /// A built-in short name.
    Builtin(String),
    /// A file or folder that exists.
    Path(PathBuf),
    /// A repository of the hub.
    Hub(HubId),
    /// One of the others with a PEFT adapter over it.
    Adapted {
        /// The model.
        base: Box<Self>,
        /// The adapter's folder, which exists.
        adapter: PathBuf,
    },
}

/// `org/name[@revision][:file.gguf]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// `org/name`.
    pub repo: String,
    /// A branch, tag or commit; `None`: `main`.
    pub revision: Option<String>,
    /// The one file that is meant, in a repository with several GGUF files.
    pub file: Option<String>,
}

impl ModelSpec {
    /// Understands a name; looks whether such a path exists, asks no hub.
    ///
    /// ```
    /// use isogloss_client::ModelSpec;
    /// let spec = ModelSpec::parse("Qwen/Qwen3-0.6B@main")?;
    /// assert_eq!(spec.to_string(), "Qwen/Qwen3-0.6B@main");
    /// # Ok::<(), isogloss_client::ClientError>(())
    /// ```
    pub fn parse(given: &str) -> Result<Self, ClientError> {
        if given.contains("://") {
            return Err(ClientError::Server {
                url: hide_credentials(given),
            });
        }
        if Builtin::named(given).is_some() {
            return Ok(Self::Builtin(given.to_owned()));
        }
        if !given.is_empty() && Path::new(given).exists() {
            return Ok(Self::Path(PathBuf::from(given)));
        }
        if let Some(adapted) = Self::adapted(given)? {
            return Ok(adapted);
        }
        if looks_like_a_path(given) || !given.contains('/') {
            return Err(ClientError::Unknown {
                given: given.to_owned(),
                nearest: nearest(given),
            });
        }
        HubId::parse(given).map(Self::Hub)
    }

    /// `MODEL+ADAPTER`, where ADAPTER is a folder; `None`: a name of another kind. Paths may hold a
    /// `+` of their own.
    fn adapted(given: &str) -> Result<Option<Self>, ClientError> {
        let parts = |at: usize| (&given[..at], Path::new(&given[at + 1..]));
        let mut places = given.match_indices('+').map(|(at, _)| parts(at));
        let is_adapter = |(base, adapter): &(&str, &Path)| !base.is_empty() && adapter.is_dir();
        if let Some((base, adapter)) = places.find(is_adapter) {
            return match Self::parse(base)? {
                Self::Adapted { .. } => Err(ClientError::TwoAdapters {
                    given: given.to_owned(),
                }),
                base => Ok(Some(Self::Adapted {
                    base: Box::new(base),
                    adapter: adapter.to_owned(),
                })),
            };
        }
        let mut places = given.match_indices('+').map(|(at, _)| parts(at));
        let is_base = |name: &str| {
            Builtin::named(name).is_some() || !name.is_empty() && Path::new(name).exists()
        };
        match places.find(|(base, _)| is_base(base)) {
            Some((base, adapter)) => Err(ClientError::NoAdapter {
                base: base.to_owned(),
                adapter: adapter.to_owned(),
            }),
            None => Ok(None),
        }
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(id) => id.fmt(f),
            Self::Adapted { base, adapter } => write!(f, "{base}+{}", adapter.display()),
        }
    }
}

impl HubId {
    fn parse(given: &str) -> Result<Self, ClientError> {
        let bad = |why: String| ClientError::BadId {
            given: given.to_owned(),
            why,
        };
        let (rest, file) = match given.split_once(':') {
            Some((rest, file)) => (rest, Some(file)),
            None => (given, None),
        };
        let (repo, revision) = match rest.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (rest, None),
        };
        let Some((org, name)) = repo.split_once('/') else {
            return Err(bad(format!("`{repo}` has no `/`")));
        };
        for part in [org, name] {
            if !is_repo_part(part) {
                return Err(bad(format!(
                    "`{part}` may hold only letters, digits, `-`, `_` and `.`"
                )));
            }
        }
        if let Some(revision) = revision
            && !is_revision(revision)
        {
            return Err(bad(format!("`{revision}` cannot be a revision")));
        }
        if let Some(file) = file
            && (!is_safe_file(file) || !is_gguf(file))
        {
            return Err(bad(format!("`{file}` is not the name of a .gguf file")));
        }
        Ok(Self {
            repo: repo.to_owned(),
            revision: revision.map(str::to_owned),
            file: file.map(str::to_owned),
        })
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        Ok(())
    }
}

/// Whether a name ends in `.gguf`, in any case.
pub(crate) fn is_gguf(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Whether a file name from outside stays inside the folder it is put in, on any platform.
pub(crate) fn is_safe_file(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 1024
        && !name.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
        && name
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
}

fn is_repo_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty()
        && part.len() <= 96
        && part.chars().all(plain)
        && !part.starts_with(['.', '-'])
        && !part.contains("..")
        && !part.contains("--")
}

fn is_revision(revision: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    revision.chars().all(plain) && is_safe_file(revision)
}

/// Somebody who writes this means a path, not a hub id.
fn looks_like_a_path(given: &str) -> bool {
    given.starts_with(['/', '~', '.'])
        || given.contains('\\')
        || given.ends_with('/')
        || given.matches('/').count() > 1 && !given.contains([':', '@'])
        || [".gguf", ".safetensors", ".json", ".bin"]
            .iter()
            .any(|end| given.ends_with(end) && !given.contains(':'))
}

/// Built-in names that a misspelled one may mean, the closest first.
fn nearest(given: &str) -> Vec<&'static str> {
    let given = given.to_lowercase();
    let mut names: Vec<(f64, &str)> = Builtin::all()
        .iter()
        .map(|model| {
            (
                strsim::jaro_winkler(&given, &model.name),
                model.name.as_str(),
            )
        })
        .filter(|(similarity, _)| *similarity > 0.8)
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    names.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hub(given: &str, repo: &str, revision: Option<&str>, file: Option<&str>) {
        let spec = ModelSpec::parse(given).unwrap();
        assert_eq!(
            spec,
            ModelSpec::Hub(HubId {
                repo: repo.into(),
                revision: revision.map(str::to_owned),
                file: file.map(str::to_owned),
            })
        );
        assert_eq!(spec.to_string(), given);
    }

    #[test]
    fn hub_ids() {
        hub("a/b", "a/b", None, None);
        hub(
            "HuggingFaceTB/SmolLM2-135M",
            "HuggingFaceTB/SmolLM2-135M",
            None,
            None,
        );
        hub("a/b.c-d_e@v1.0", "a/b.c-d_e", Some("v1.0"), None);
        hub("a/b@refs/pr/3", "a/b", Some("refs/pr/3"), None);
        hub("a/b:m.gguf", "a/b", None, Some("m.gguf"));
        hub(
            "a/b@main:sub/m.gguf",
            "a/b",
            Some("main"),
            Some("sub/m.gguf"),
        );
    }

    #[test]
    fn a_built_in_name_wins_and_a_path_must_exist() {
        assert_eq!(
            ModelSpec::parse("gemma3-270m").unwrap(),
            ModelSpec::Builtin("gemma3-270m".into())
        );
        let here = env!("CARGO_MANIFEST_DIR");
        assert_eq!(
            ModelSpec::parse(here).unwrap(),
            ModelSpec::Path(here.into())
        );
    }

    #[test]
    fn unknown_names_get_the_nearest() {
        for (given, expected) in [
            ("smollm2-135", &["smollm2-135m"][..]),
            ("Gemma3-270M", &["gemma3-270m"]),
            ("gemma-3-270m", &["gemma3-270m"]),
            ("ภาษาไทย", &[]),
            ("", &[]),
            ("./nowhere.gguf", &[]),
            ("models/nowhere.gguf", &[]),
            ("a/b/c", &[]),
        ] {
            match ModelSpec::parse(given) {
                Err(ClientError::Unknown { nearest, .. }) => assert_eq!(nearest, expected),
                other => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn servers_are_named_and_their_passwords_are_not() {
        let error = ModelSpec::parse("http://ana:pw@host:8000/v1").unwrap_err();
        assert!(matches!(error, ClientError::Server { .. }));
        assert!(!error.to_string().contains("pw"));
    }

    #[test]
    fn bad_ids_say_which_part() {
        for (given, part) in [
            ("a b/c", "a b"),
            ("a/b@x y", "x y"),
            ("a/b@../../etc", "../../etc"),
            ("a/b:m.bin", "m.bin"),
            ("a/b:../m.gguf", "../m.gguf"),
            ("a/नमूना", "नमूना"),
        ] {
            match ModelSpec::parse(given) {
                Err(ClientError::BadId { why, .. }) => {
                    assert!(why.contains(&format!("`{part}`")), "{given}: {why}");
                }
                other => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_adapter_is_a_folder_behind_a_plus() {
        let folder = tempfile::tempdir().unwrap();
        let (adapter, odd) = (folder.path().join("tuned"), folder.path().join("a+b"));
        for path in [&adapter, &odd] {
            isogloss_record::files::create_dir_all(path).unwrap();
        }
        let adapted = |base: ModelSpec, adapter: &Path| ModelSpec::Adapted {
            base: Box::new(base),
            adapter: adapter.to_owned(),
        };
        let builtin = || ModelSpec::Builtin("smollm2-135m".into());
        for (given, spec) in [
            (
                format!("smollm2-135m+{}", adapter.display()),
                adapted(builtin(), &adapter),
            ),
            (
                format!("smollm2-135m+{}", odd.display()),
                adapted(builtin(), &odd),
            ),
            (
                format!("{}+{}", odd.display(), adapter.display()),
                adapted(ModelSpec::Path(odd.clone()), &adapter),
            ),
            (format!("{}", odd.display()), ModelSpec::Path(odd.clone())),
        ] {
            let found = ModelSpec::parse(&given).unwrap();
            assert_eq!(found, spec);
            assert_eq!(found.to_string(), given);
        }
        let given = format!("a/b@v1+{}", adapter.display());
        assert!(matches!(
            ModelSpec::parse(&given).unwrap(),
            ModelSpec::Adapted { base, .. } if matches!(*base, ModelSpec::Hub(_))
        ));
        match ModelSpec::parse("smollm2-135m+nowhere") {
            Err(ClientError::NoAdapter { base, adapter }) => {
                assert_eq!((&*base, adapter), ("smollm2-135m", "nowhere".into()));
            }
            other => panic!("{other:?}"),
        }
        let two = format!("smollm2-135m+{0}+{0}", adapter.display());
        assert!(matches!(
            ModelSpec::parse(&two),
            Err(ClientError::TwoAdapters { .. })
        ));
        let unknown = format!("smollm2-135+{}", adapter.display());
        assert!(matches!(
            ModelSpec::parse(&unknown),
            Err(ClientError::Unknown { .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_is_understood_or_refused(given in "\\PC*|[a-z./:@\\\\]{0,12}") {
            if let Ok(ModelSpec::Hub(id)) = ModelSpec::parse(&given) {
                proptest::prop_assert_eq!(id.to_string(), given);
            }
        }

        #[test]
        fn a_safe_name_stays_in_its_folder(name in "[a.~/\\\\:ภ]{0,8}") {
            use std::path::Component;
            if is_safe_file(&name) {
                let mut parts = Path::new(&name).components();
                proptest::prop_assert!(parts.all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }

    #[test]
    fn names_that_leave_their_folder_are_not_safe() {
        for name in ["config.json", "a/b.gguf", "名.gguf", ".gitattributes"] {
            assert!(is_safe_file(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "a\\b",
            "C:x",
            "a\0b",
            "a\nb",
            "..",
            "a/",
        ] {
            assert!(!is_safe_file(name), "{name:?}");
        }
    }
}
