//! Every command explains itself with an example.

use crate::run;

const COMMANDS: [&str; 14] = [
    "tour",
    "survey",
    "tokens",
    "decide",
    "report",
    "languages",
    "score",
    "generate",
    "hidden",
    "embed",
    "classify",
    "tokenize",
    "identify",
    "serve",
];

#[test]
fn every_command_has_help_with_an_example() {
    let top = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for command in COMMANDS {
        assert!(
            top.contains(&format!("\n  {command} ")),
            "`isogloss --help` does not list {command}"
        );
        let output = run(&[command, "--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(
            help.contains("Example"),
            "`isogloss {command} --help` has no example"
        );
        assert!(
            help.contains(&format!("isogloss {command}")),
            "the example of {command} does not use it"
        );
    }
    for command in [
        "survey validate ladder",
        "survey validate cost",
        "survey validate planted",
        "survey validate xcopa",
        "survey validate controls",
        "probe rank",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = String::from_utf8(run(&words).stdout).unwrap();
        let example = format!("isogloss {command}");
        assert!(
            help.contains("Example") && help.contains(&example),
            "{help}"
        );
    }
    let listed = top
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .count();
    assert!(listed >= COMMANDS.len(), "{top}");
}
