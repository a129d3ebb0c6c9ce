//! `docs/cli.md`: the help of every command, as the program prints it.

use std::fmt::Write;
use std::process::Command;

const COMMANDS: [&str; 20] = [
    "tour",
    "survey",
    "survey validate ladder",
    "survey validate cost",
    "survey validate planted",
    "survey validate xcopa",
    "survey validate controls",
    "tokens",
    "decide",
    "probe rank",
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

/// Writes the page, or with `check` says whether the committed one is what would be written.
pub(crate) fn run(check: bool) -> Result<String, String> {
    let path = crate::root().join("docs/cli.md");
    let mut page = String::from(
        "# Commands\n\nThe help of every command, as the program prints it (`cargo xtask docs` rewrites this page).\n",
    );
    for command in std::iter::once("").chain(COMMANDS) {
        let title = format!("isogloss {command}");
        let help = help(command)?;
        write!(
            page,
            "\n## `{}`\n\n```text\n{}\n```\n",
            title.trim(),
            help.trim_end()
        )
        .expect("writing to memory");
    }
    if !check {
        isogloss_record::files::write_atomic(&path, page.as_bytes())
            .map_err(|error| error.to_string())?;
        return Ok("docs/cli.md is written".to_owned());
    }
    let committed =
        isogloss_record::files::read_to_string(&path).map_err(|error| error.to_string())?;
    if committed == page {
        Ok("docs/cli.md is fresh".to_owned())
    } else {
        Err("docs/cli.md is not what the commands print: run `cargo xtask docs`".to_owned())
    }
}

/// What `isogloss COMMAND --help` prints, at a fixed width.
fn help(command: &str) -> Result<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "isogloss", "--"])
        .args(command.split_whitespace())
        .arg("--help")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .current_dir(crate::root())
        .output()
        .map_err(|error| format!("cannot run isogloss: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
