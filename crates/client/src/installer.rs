//! The ordinary package clients, `uv` and `pip`: whatever mirror, proxy or certificate the user
//! has set up for them works here too.
//!
//! A package is unpacked into a folder of our own (`--target`, no dependencies, wheels only: no
//! code of the package runs), from where one file is taken. Nothing is installed anywhere else.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// How a client is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `uv pip install`.
    Uv,
    /// `pip install`.
    Pip,
}

/// A client: a program and its leading arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installer {
    /// How it is called.
    pub kind: Kind,
    /// The program, looked up on `PATH`, and leading arguments (`python3 -m pip`).
    pub command: &'static [&'static str],
}

/// What is tried, in this order.
pub const ORDINARY: &[Installer] = &[
    Installer {
        kind: Kind::Uv,
        command: &["uv"],
    },
    Installer {
        kind: Kind::Pip,
        command: &["pip"],
    },
    Installer {
        kind: Kind::Pip,
        command: &["pip3"],
    },
    Installer {
        kind: Kind::Pip,
        command: &["python3", "-m", "pip"],
    },
    Installer {
        kind: Kind::Pip,
        command: &["python", "-m", "pip"],
    },
];

/// How one call of a client ended without the package.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program is not there or does not answer `--version`.
    Absent,
    /// It ran and failed; its last words.
    Failed(String),
}

const POLL: Duration = Duration::from_millis(100);

impl Installer {
    /// As the user would type it.
    pub fn name(&self) -> String {
        self.command.join(" ")
    }

    /// Unpacks `package==version` into `folder/site`; temporary files stay under `folder`.
    /// `on_tick` is called about ten times a second while the client works.
    pub(crate) fn unpack(
        &self,
        package: &str,
        version: &str,
        folder: &Path,
        on_tick: &mut dyn FnMut(),
    ) -> Result<(), Failure> {
        if !self.answers() {
            return Err(Failure::Absent);
        }
        let mut command = self.command();
        match self.kind {
            Kind::Uv => {
                command
                    .args(["pip", "install", "--no-deps", "--only-binary", ":all:"])
                    .arg("--cache-dir")
                    .arg(folder.join("cache"));
            }
            Kind::Pip => {
                command.args([
                    "install",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "--no-compile",
                    "--disable-pip-version-check",
                    "--no-input",
                    "--quiet",
                ]);
            }
        }
        command
            .arg("--target")
            .arg(folder.join("site"))
            .arg(format!("{package}=={version}"))
            // Downloads grow where we can see them, and go when our folder goes.
            .env("TMPDIR", folder)
            // Settings that forbid installing outside an environment do not concern `--target`.
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0");
        let child = command.spawn().map_err(|_| Failure::Absent)?;
        let (status, words) = wait(child, on_tick).map_err(|error| {
            Failure::Failed(format!("cannot wait for `{}`: {error}", self.name()))
        })?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Failed(last_words(&words, status)))
    }

    fn answers(&self) -> bool {
        self.command()
            .arg("--version")
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.command[0]);
        command
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

/// Waits for the child and gathers its stderr meanwhile, so that it never blocks on a full pipe.
fn wait(mut child: Child, on_tick: &mut dyn FnMut()) -> std::io::Result<(ExitStatus, String)> {
    let stderr = child.stderr.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            // A broken pipe ends the words; the exit status still tells what happened.
            let _ = stderr.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        on_tick();
        thread::sleep(POLL);
    };
    Ok((status, reader.join().unwrap_or_default()))
}

/// The line that says why: the last with `error` in it, else the last one. pip ends a broken
/// connection with "no matching distribution": then the connection is named too.
fn last_words(words: &str, status: ExitStatus) -> String {
    let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .rfind(|line| line.to_ascii_lowercase().contains("error"))
        .or_else(|| lines().next_back());
    let Some(line) = line else {
        return status.to_string();
    };
    let line = hide_credentials(line);
    if words.contains("connection broken by") {
        return format!("{line} (the connection to the package index failed)");
    }
    line
}

/// `https://user:password@host` → `https://…@host`.
pub(crate) fn hide_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`'))
            .unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                shown.push('…');
                &after[end..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_last_words_say_why() {
        use std::os::unix::process::ExitStatusExt;
        let say = |words| last_words(words, ExitStatus::from_raw(256));
        assert_eq!(say(""), "exit status: 1");
        assert_eq!(say("a\nb\n\n"), "b");
        assert_eq!(
            say("ERROR: first\nERROR: why\nnotice: new version\n"),
            "ERROR: why"
        );
        let offline = "WARNING: Retrying after connection broken by 'X'\nERROR: no matching y";
        assert_eq!(
            say(offline),
            "ERROR: no matching y (the connection to the package index failed)"
        );
    }

    #[test]
    fn credentials_in_an_address_are_hidden() {
        for (text, expected) in [
            (
                "see https://ana:pw@host/simple/ now",
                "see https://…@host/simple/ now",
            ),
            ("https://host/a@b", "https://host/a@b"),
            (
                "two http://a:b@x and ftp://c@y",
                "two http://…@x and ftp://…@y",
            ),
            ("no address", "no address"),
        ] {
            assert_eq!(hide_credentials(text), expected);
        }
    }
}
