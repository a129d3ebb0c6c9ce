//! A hub that fails: cut, hanging, busy, forbidden, wrong and hostile answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use isogloss_client::{ClientError, Settings};
use isogloss_record::{Explain, files};
use isogloss_testkit::{Answer, HttpRequest, MockServer};
use tempfile::TempDir;

use crate::mock::{self, ID};

/// A hub whose `n`-th answer about the weights (from 0) is `fault`'s, where that is not `None`.
fn faulty(
    fault: impl Fn(usize, &HttpRequest) -> Option<Answer> + Send + Sync + 'static,
) -> (TempDir, MockServer, Settings) {
    let home = TempDir::new().unwrap();
    let all = mock::files();
    let n_asked = AtomicUsize::new(0);
    let server = MockServer::start(move |request| {
        if request.path.ends_with("/model.safetensors") {
            let n = n_asked.fetch_add(1, Ordering::SeqCst);
            if let Some(answer) = fault(n, request) {
                return answer;
            }
        }
        mock::answer(request, &all)
    });
    let settings = mock::settings(&server.url, home.path());
    (home, server, settings)
}

/// `Range` of each request for the weights.
fn ranges(server: &MockServer) -> Vec<Option<usize>> {
    let weights = |request: &HttpRequest| request.path.ends_with("/model.safetensors");
    let seen = server.seen();
    seen.iter()
        .filter(|r| weights(r))
        .map(HttpRequest::range_start)
        .collect()
}

#[track_caller]
fn arrives(settings: &Settings) {
    let (model, said) = mock::fetch(ID, settings);
    let model = model.unwrap_or_else(|error| panic!("{error}; {said:?}"));
    let bytes = files::read(&model.path.join("model.safetensors")).unwrap();
    assert!(bytes == mock::weights(), "other bytes than the hub's");
}

#[track_caller]
fn fails(settings: &Settings) -> ClientError {
    mock::fetch(ID, settings).0.unwrap_err()
}

#[test]
fn a_cut_body_is_resumed_where_it_stopped() {
    let (_home, server, settings) = faulty(|n, request| {
        // More cuts than retries: each one brought something, so none counts as the last.
        (n < 5).then(|| Answer::ranged(request, &mock::weights()).cut_after(10_000))
    });
    arrives(&settings);
    let starts = [
        None,
        Some(10_000),
        Some(20_000),
        Some(30_000),
        Some(40_000),
        Some(50_000),
    ];
    assert_eq!(ranges(&server), starts);
}

#[test]
fn half_a_file_of_an_earlier_run_is_resumed() {
    let (_home, server, mut settings) = faulty(|n, request| {
        (n == 0).then(|| Answer::ranged(request, &mock::weights()).cut_after(60_000))
    });
    settings.n_retries = 0;
    // The first run moved, so it may go on; stop it by force after the cut.
    settings.retry_wait_max = Duration::ZERO;
    assert!(matches!(fails(&settings), ClientError::Unreachable { .. }));
    arrives(&settings);
    assert_eq!(ranges(&server), [None, Some(60_000)]);
}

#[test]
fn a_hub_that_ignores_range_sends_all_again() {
    let (_home, server, settings) = faulty(|n, _| {
        let whole = Answer::ok(mock::weights());
        Some(if n == 0 {
            whole.cut_after(30_000)
        } else {
            whole
        })
    });
    arrives(&settings);
    assert_eq!(ranges(&server), [None, Some(30_000)]);
}

#[test]
fn a_part_that_does_not_fit_is_thrown_away() {
    // 416 for whatever was kept: start from the beginning.
    let (_home, server, settings) = faulty(|n, request| match n {
        0 => Some(Answer::ranged(request, &mock::weights()).cut_after(30_000)),
        1 => Some(Answer::status(416)),
        _ => None,
    });
    arrives(&settings);
    assert_eq!(ranges(&server), [None, Some(30_000), None]);
}

#[test]
fn a_spoiled_part_is_noticed_and_fetched_again() {
    let (_home, server, settings) = faulty(|n, request| {
        let mut spoiled = mock::weights();
        spoiled[7] ^= 1;
        (n == 0).then(|| Answer::ranged(request, &spoiled).cut_after(30_000))
    });
    arrives(&settings);
    assert_eq!(ranges(&server), [None, Some(30_000), None]);
}

#[test]
fn a_whole_part_of_an_earlier_run_is_checked_too() {
    let (_home, server, settings) = faulty(|_, _| None);
    let blobs = settings.hub_cache.join("models--org--tiny/blobs");
    files::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", mock::sha256(&mock::weights())));

    let mut spoiled = mock::weights();
    spoiled[7] ^= 1;
    files::write_atomic(&part, &spoiled).unwrap();
    arrives(&settings);
    assert_eq!(ranges(&server), [None]);

    std::fs::remove_dir_all(&settings.hub_cache).unwrap();
    files::create_dir_all(&blobs).unwrap();
    files::write_atomic(&part, &mock::weights()).unwrap();
    arrives(&settings);
    // Nothing was left to ask for.
    assert_eq!(ranges(&server), [None]);
}

#[test]
fn a_wrong_hash_is_an_error_and_nothing_stays() {
    let (_home, server, settings) = faulty(|_, request| {
        let mut wrong = mock::weights();
        wrong[7] ^= 1;
        Some(Answer::ranged(request, &wrong))
    });
    let error = fails(&settings);
    let expected = mock::sha256(&mock::weights());
    assert!(matches!(&error, ClientError::WrongHash { expected: e, .. } if *e == expected));
    assert!(error.to_string().contains(&expected));
    assert_eq!(ranges(&server).len(), 1);
    let blobs = settings.hub_cache.join("models--org--tiny/blobs");
    assert!(!blobs.join(&expected).exists());
    // Not resumed from the wrong bytes.
    fails(&settings);
    assert_eq!(ranges(&server), [None, None]);
}

#[test]
fn a_longer_file_than_promised_is_refused() {
    let (_home, _server, settings) = faulty(|_, _| {
        let mut longer = mock::weights();
        longer.extend(mock::weights());
        Some(Answer::ok(longer))
    });
    assert!(matches!(fails(&settings), ClientError::WrongSize { .. }));
}

#[test]
fn a_hub_that_hangs_gives_one_error_in_time() {
    for hang in [Answer::hang as fn(Answer) -> Answer, |answer| {
        answer.hang_after(0)
    }] {
        let (_home, server, mut settings) =
            faulty(move |_, _| Some(hang(Answer::ok(mock::weights()))));
        settings.timeout_read = Duration::from_millis(100);
        settings.n_retries = 1;
        let start = Instant::now();
        let error = fails(&settings);
        assert!(error.to_string().contains("no answer in time"), "{error}");
        assert_eq!(ranges(&server).len(), 2);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_body_that_stops_is_resumed() {
    let (_home, server, mut settings) = faulty(|n, request| {
        (n == 0).then(|| Answer::ranged(request, &mock::weights()).hang_after(50_000))
    });
    settings.timeout_read = Duration::from_millis(200);
    arrives(&settings);
    assert_eq!(ranges(&server), [None, Some(50_000)]);
}

#[test]
fn a_busy_hub_is_asked_again_and_its_wait_is_respected() {
    let (_home, server, settings) =
        faulty(|n, _| (n < 2).then(|| Answer::status([429, 503][n]).header("Retry-After", "0")));
    arrives(&settings);
    assert_eq!(ranges(&server).len(), 3);

    // Longer than we wait: one error that says so, at once.
    let (_home, server, mut settings) =
        faulty(|_, _| Some(Answer::status(429).header("Retry-After", "3600")));
    settings.retry_wait_max = Duration::from_mins(2);
    let error = fails(&settings).to_string();
    assert!(error.contains("3600 s") && error.contains("429"), "{error}");
    assert_eq!(ranges(&server).len(), 1);

    // Always busy: bounded.
    let (_home, server, settings) = faulty(|_, _| Some(Answer::status(500)));
    assert!(matches!(fails(&settings), ClientError::Unreachable { .. }));
    assert_eq!(ranges(&server).len(), 3);
}

#[test]
fn refusals_are_final_and_say_what_to_do() {
    for (status, token, hint) in [
        (401, None, "HF_TOKEN"),
        (401, Some("hf_secret"), "HF_TOKEN"),
        (403, Some("hf_secret"), "terms"),
        (404, None, "spelling"),
        (418, None, "spelling"),
    ] {
        let home = TempDir::new().unwrap();
        let server = MockServer::start(move |_| Answer::status(status));
        let mut settings = mock::settings(&server.url, home.path());
        settings.token = token.and_then(isogloss_client::Token::new);
        let error = fails(&settings);
        assert!(
            matches!(&error, ClientError::Hub { status: s, .. } if *s == status),
            "{error}"
        );
        assert!(
            error.hint().unwrap().contains(hint),
            "{status}: {:?}",
            error.hint()
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn the_token_stays_with_the_hub() {
    let home = TempDir::new().unwrap();
    let cdn = MockServer::start(|request| Answer::ranged(request, &mock::weights()));
    let cdn_url = cdn.url.clone();
    let all = mock::files();
    let server = MockServer::start(move |request| {
        if request.path.ends_with("/model.safetensors") {
            let location = format!("{cdn_url}/elsewhere?signature=1");
            return Answer::status(302).header("Location", &location);
        }
        mock::answer(request, &all)
    });
    arrives(&mock::settings(&server.url, home.path()));
    assert!(
        server
            .seen()
            .iter()
            .all(|r| r.header("authorization") == Some("Bearer hf_secret"))
    );
    assert_eq!(cdn.seen().len(), 1);
    assert_eq!(cdn.seen()[0].header("authorization"), None);
}

#[test]
fn redirects_without_end_are_an_error() {
    let home = TempDir::new().unwrap();
    let server = MockServer::start(|request| Answer::status(302).header("Location", &request.path));
    let error = fails(&mock::settings(&server.url, home.path()));
    assert!(
        error.to_string().contains("redirects without end"),
        "{error}"
    );
}

#[test]
fn hostile_names_never_reach_the_disk() {
    for name in [
        "../../evil.safetensors",
        "/etc/evil.safetensors",
        "a\\..\\evil",
    ] {
        let home = TempDir::new().unwrap();
        let files = vec![("config.json", b"{}".to_vec()), (name, b"x".to_vec())];
        let server = MockServer::start(move |_| mock::listing(&files));
        let settings = mock::settings(&server.url, home.path());
        assert!(matches!(fails(&settings), ClientError::HubAnswer { .. }));
        assert_eq!(server.seen().len(), 1);
        assert!(!settings.hub_cache.exists());
    }
}

#[test]
fn answers_that_are_not_a_listing_are_errors() {
    for body in ["", "<html>", "{}", r#"{"sha":"x","siblings":[]}"#, "[1]"] {
        let home = TempDir::new().unwrap();
        let server = MockServer::start(move |_| Answer::ok(body));
        let error = fails(&mock::settings(&server.url, home.path()));
        assert!(matches!(error, ClientError::HubAnswer { .. }), "{error}");
    }
}

#[test]
fn no_hub_at_all_is_one_error() {
    let home = TempDir::new().unwrap();
    let server = MockServer::start(|_| Answer::status(200));
    let url = server.url.clone();
    drop(server);
    let error = fails(&mock::settings(&url, home.path()));
    assert!(error.to_string().contains(&url), "{error}");
    let error = fails(&mock::settings("not an address", home.path()));
    assert!(matches!(error, ClientError::BadEndpoint { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_full_or_forbidden_disk_says_where() {
    let (home, _server, settings) = faulty(|_, _| None);
    // A file where a folder must be: works as root too, unlike permissions.
    files::create_dir_all(settings.hub_cache.parent().unwrap()).unwrap();
    files::write_atomic(&settings.hub_cache, b"").unwrap();
    let error = fails(&settings);
    assert!(matches!(error, ClientError::File(_)), "{error}");
    assert!(
        error.to_string().contains(home.path().to_str().unwrap()),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_says_so_and_the_next_run_goes_on() {
    let (_home, server, settings) = faulty(|_, _| None);
    let blobs = settings.hub_cache.join("models--org--tiny/blobs");
    files::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.incomplete", mock::sha256(&mock::weights())));
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let error = fails(&settings);
    assert!(matches!(&error, ClientError::File(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("cannot write") && text.contains(part.to_str().unwrap()),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("free some space"));
    // Asked once: a full disk does not pass by waiting.
    assert_eq!(ranges(&server).len(), 1);

    // With space again, what is finished (the other files) is not asked for again.
    std::fs::remove_file(&part).unwrap();
    let n_asked = |name: &str| {
        let seen = server.seen();
        seen.iter().filter(|r| r.path.ends_with(name)).count()
    };
    let n_before = n_asked("config.json");
    arrives(&settings);
    assert_eq!(n_asked("config.json"), n_before.max(1));
}
