//! A hub that works: what is fetched, where it lies, and that it is fetched once.

use isogloss_client::ClientError;
use isogloss_testkit::MockServer;
use tempfile::TempDir;

use crate::mock::{self, COMMIT, ID};

fn paths(server: &MockServer) -> Vec<String> {
    server
        .seen()
        .into_iter()
        .map(|request| request.path)
        .collect()
}

#[test]
fn a_folder_is_fetched_into_the_cache_of_the_python_library() {
    let home = TempDir::new().unwrap();
    let files = mock::files();
    let server = MockServer::start(move |request| mock::answer(request, &files));
    let settings = mock::settings(&server.url, home.path());

    let (model, said) = mock::fetch(ID, &settings);
    let model = model.unwrap();
    let repo = settings.hub_cache.join("models--org--tiny");
    assert_eq!(model.path, repo.join("snapshots").join(COMMIT));
    assert_eq!(model.name, ID);
    assert_eq!(model.license.as_deref(), Some("apache-2.0"));
    let read = |path: std::path::PathBuf| isogloss_record::files::read(&path).unwrap();
    assert_eq!(read(repo.join("refs/main")), COMMIT.as_bytes());
    assert_eq!(read(model.path.join("model.safetensors")), mock::weights());
    assert_eq!(
        read(repo.join("blobs").join(mock::sha256(&mock::weights()))),
        mock::weights()
    );
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(model.path.join("model.safetensors")).unwrap(),
        std::path::Path::new("../../blobs").join(mock::sha256(&mock::weights()))
    );
    assert!(
        said.iter().any(|text| text.contains("done: 100000")),
        "{said:?}"
    );

    // Only what a model needs: three files after the listing.
    assert_eq!(paths(&server).len(), 4, "{:?}", paths(&server));
    assert!(!model.path.join("README.md").exists());
    let leftover = std::fs::read_dir(repo.join("blobs")).unwrap().count();
    assert_eq!(leftover, 3);

    // Again: the listing alone. By commit: nothing at all.
    assert_eq!(mock::fetch(ID, &settings).0.unwrap().path, model.path);
    assert_eq!(paths(&server).len(), 5);
    let by_commit = format!("{ID}@{COMMIT}");
    assert_eq!(
        mock::fetch(&by_commit, &settings).0.unwrap().path,
        model.path
    );
    assert_eq!(paths(&server).len(), 5);
}

#[test]
fn what_is_there_works_without_the_hub() {
    let home = TempDir::new().unwrap();
    let files = mock::files();
    let server = MockServer::start(move |request| mock::answer(request, &files));
    let mut settings = mock::settings(&server.url, home.path());

    settings.offline = true;
    let (nothing_yet, _) = mock::fetch(ID, &settings);
    assert!(matches!(nothing_yet, Err(ClientError::Offline { .. })));
    assert!(server.seen().is_empty());

    settings.offline = false;
    let path = mock::fetch(ID, &settings).0.unwrap().path;
    drop(server);
    let (gone, said) = mock::fetch(ID, &settings);
    assert_eq!(gone.unwrap().path, path);
    assert!(
        said.iter().any(|text| text.starts_with("FromCache")),
        "{said:?}"
    );

    settings.offline = true;
    assert_eq!(mock::fetch(ID, &settings).0.unwrap().path, path);

    // Half a snapshot is not a model.
    std::fs::remove_file(path.join("model.safetensors")).unwrap();
    assert!(matches!(
        mock::fetch(ID, &settings).0,
        Err(ClientError::Offline { .. })
    ));
}

#[test]
fn one_gguf_file_is_chosen_by_name() {
    let home = TempDir::new().unwrap();
    let files = vec![
        ("q4.gguf", b"GGUF four".to_vec()),
        ("q8.gguf", b"GGUF eight".to_vec()),
    ];
    let server = MockServer::start(move |request| mock::answer(request, &files));
    let settings = mock::settings(&server.url, home.path());

    let model = mock::fetch("org/tiny:q8.gguf", &settings).0.unwrap();
    assert!(model.path.ends_with("q8.gguf"));
    assert_eq!(
        isogloss_record::files::read(&model.path).unwrap(),
        b"GGUF eight"
    );
    assert_eq!(server.seen().len(), 2);

    let (several, _) = mock::fetch(ID, &settings);
    assert!(
        matches!(several, Err(ClientError::NoModel { .. })),
        "{several:?}"
    );
}

#[test]
fn shards_are_those_that_the_index_names() {
    let home = TempDir::new().unwrap();
    let index = r#"{"metadata":{},"weight_map":{"a":"s-1.safetensors","b":"s-2.safetensors"}}"#;
    let files = vec![
        ("config.json", b"{}".to_vec()),
        ("model.safetensors.index.json", index.into()),
        ("s-1.safetensors", b"one".to_vec()),
        ("s-2.safetensors", b"two".to_vec()),
        ("s-3.safetensors", b"three".to_vec()),
    ];
    let server = MockServer::start(move |request| mock::answer(request, &files));
    let mut settings = mock::settings(&server.url, home.path());

    let model = mock::fetch(ID, &settings).0.unwrap();
    assert!(model.path.join("s-2.safetensors").exists());
    assert!(!model.path.join("s-3.safetensors").exists());

    settings.offline = true;
    mock::fetch(ID, &settings).0.unwrap();
    std::fs::remove_file(model.path.join("s-2.safetensors")).unwrap();
    assert!(mock::fetch(ID, &settings).0.is_err());
}
