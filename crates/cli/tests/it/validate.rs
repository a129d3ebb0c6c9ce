//! `isogloss survey validate` and `isogloss probe`: studies from the command line.

use isogloss_record::files;
use serde_json::Value;

use crate::{model, run, text};

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], wants: &[&str]) {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    for want in wants {
        assert!(
            told.contains(want),
            "{arguments:?} says no `{want}`:\n{told}"
        );
    }
    assert!(told.contains("hint:"), "{told}");
}

#[test]
fn planted_truth_is_counted_and_a_study_of_few_seeds_may_fail() {
    let output = run(&["survey", "validate", "planted", "--seeds", "30", "--json"]);
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(lines.len() > 40);
    for line in &lines {
        assert_eq!(line["covered"]["n"], 30);
        assert!(line["covered"]["value"].as_f64().unwrap() > 0.7, "{line}");
    }
    // The exit status says whether all intervals were as wanted.
    let covered = |line: &Value| line["covered"]["value"].as_f64().unwrap();
    let is_wanted = |line: &Value| {
        let most = if line["n"].as_u64() >= Some(100) {
            0.97
        } else {
            1.0
        };
        (0.93..=most).contains(&covered(line))
    };
    assert_eq!(output.status.success(), lines.iter().all(is_wanted));
}

#[test]
fn a_survey_without_a_model_and_a_study_with_one_too_many() {
    refused(&["survey", "--langs", "fr", "--out", "nowhere"], &["MODEL"]);
    refused(&["survey", "validate", "no-such-study"], &["no-such-study"]);
}

#[test]
fn premiums_beside_a_table_of_one_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write =
        |name: &str, text: &str| files::write_atomic(at(name).as_ref(), text.as_bytes()).unwrap();
    files::create_dir_all(at("lines").as_ref()).unwrap();
    for (code, line) in [
        ("eng", "All human beings are born free."),
        ("hin", "सभी मनुष्य स्वतन्त्र जन्म लेते हैं।"),
        ("tha", "มนุษย์ทั้งหลายเกิดมามีอิสระ"),
        ("arb", "يولد جميع الناس أحرارا"),
        ("cmn_Hans", "人人生而自由"),
        ("vie", "Mọi người sinh ra đều được tự do"),
    ] {
        write(
            &format!("lines/{code}.txt"),
            &format!("{line}\n{line} {line}\n"),
        );
    }
    write(
        "names.csv",
        "Language, code\nEnglish, eng_Latn\nHindi, hin_Deva\nThai, tha_Thai\nArabic, arb_Arab\nVietnamese, vie_Latn\n",
    );
    write(
        "table.csv",
        "Language,Some\nEnglish,100\nHindi,420\nThai,510\nArabic,330\nVietnamese,240\n",
    );
    let smollm2 = model("smollm2-135m");
    let (lines, table, names) = (at("lines"), at("table.csv"), at("names.csv"));
    let ask = |column: &'static str| {
        let mut arguments = vec!["survey", "validate", "cost", &smollm2, "--text", &lines];
        arguments.extend([
            "--table", &table, "--names", &names, "--column", column, "--json",
        ]);
        arguments
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let arguments = ask("Some");
    let study = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(study["premiums"].as_object().unwrap().len(), 5);
    assert!(study["all"]["value"].as_f64().unwrap() > 0.7, "{study}");
    let arguments = ask("Other");
    refused(
        &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        &["no column `Other`", "Some"],
    );
}

#[test]
fn what_a_study_cannot_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let empty = folder.path().display().to_string();
    let known = "scripted:knows:other=1";
    refused(
        &[
            "survey", "validate", "xcopa", known, "--data", &empty, "--out", &out,
        ],
        &["holds no files of the benchmark"],
    );
    refused(
        &[
            "survey", "validate", "controls", known, "--langs", "fr", "--out", &out,
        ],
        &["has no files"],
    );
    files::write_atomic(&folder.path().join("test.sw.jsonl"), b"{\"premise\": 1}\n").unwrap();
    refused(
        &[
            "survey", "validate", "xcopa", known, "--data", &empty, "--out", &out,
        ],
        &["line 1 of", "test.sw.jsonl"],
    );
    refused(
        &[
            "survey", "validate", "ladder", "--text", &empty, "--langs", "sw", "--out", &out,
        ],
        &["error:"],
    );
    refused(
        &["probe", "rank", known, "--langs", "fr", "--layers", "some"],
        &["every:N"],
    );
}

/// Two items that a model which knows nothing of them answers at chance, and the survey beside them.
#[test]
fn a_benchmark_stands_beside_comprehension() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    files::create_dir_all(&data).unwrap();
    let item = |label| {
        format!(
            "{{\"premise\": \"Mtu alifungua mlango.\", \"choice1\": \"Alisikia hodi.\", \"choice2\": \"Alilala.\", \
             \"question\": \"cause\", \"label\": {label}, \"idx\": 0, \"changed\": false}}\n"
        )
    };
    let both = format!("{}{}", item(0), item(1));
    files::write_atomic(&data.join("test.sw.jsonl"), both.as_bytes()).unwrap();
    let out = folder.path().join("out").display().to_string();
    let data = data.display().to_string();
    let known = "scripted:knows:other=1";
    let studies = json(&[
        "survey", "validate", "xcopa", known, "--data", &data, "--out", &out, "--json",
    ]);
    // One of the two labels is right, whatever it answers.
    let row = &studies[0]["languages"]["swh"];
    assert_eq!(
        (&row["accuracy"]["value"], &row["accuracy"]["n"]),
        (&0.5.into(), &2.into())
    );
    assert!(row["kappa"]["value"].as_f64().unwrap() > 0.5, "{row}");
    assert!(
        studies[0]["spearman_gain"].is_null(),
        "one language says nothing"
    );
    let kept = text(&folder.path().join("out/xcopa.json"));
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), studies);
}

#[test]
fn languages_are_ranked_by_hidden_states_and_beside_a_survey() {
    let smollm2 = model("smollm2-135m");
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines");
    files::create_dir_all(&lines).unwrap();
    for (code, texts) in [
        ("eng", "The cat sleeps.\nWe eat bread.\nIt rains today.\n"),
        (
            "fra",
            "Le chat dort.\nNous mangeons du pain.\nIl pleut aujourd'hui.\n",
        ),
        ("tha", "แมวนอนหลับ\nเรากินขนมปัง\nวันนี้ฝนตก\n"),
    ] {
        files::write_atomic(&lines.join(format!("{code}.txt")), texts.as_bytes()).unwrap();
    }
    let lines = lines.display().to_string();
    let ask = |extra: &[&str]| {
        let mut arguments = vec![
            "probe", "rank", &smollm2, "--langs", "fra,tha", "--text", &lines, "--json",
        ];
        arguments.extend(extra);
        json(&arguments)
    };
    let all = ask(&[]);
    let score =
        |value: &Value, code: &str| value["languages"][code]["score"]["value"].as_f64().unwrap();
    assert_eq!(
        all["languages"]["fra"]["layers"].as_array().unwrap().len(),
        30
    );
    assert!(score(&all, "fra") > score(&all, "tha"), "{all}");
    // Only the last layer is after the norm.
    let before = ask(&["--before-norm"]);
    let layers = |value: &Value| {
        value["languages"]["tha"]["layers"]
            .as_array()
            .unwrap()
            .clone()
    };
    let (a, b) = (layers(&all), layers(&before));
    assert_eq!(a[..29], b[..29]);
    assert_ne!(a[29], b[29]);
    let fifth = ask(&["--layers", "every:5"]);
    assert_ne!(score(&fifth, "tha"), score(&all, "tha"));
}
