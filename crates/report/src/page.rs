//! The templates, embedded, with everything escaped that they print.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

/// Every template by its name.
const TEMPLATES: [(&str, &str); 13] = [
    ("atlas.html", include_str!("../templates/atlas.html")),
    ("diff.html", include_str!("../templates/diff.html")),
    ("tokens.html", include_str!("../templates/tokens.html")),
    ("decision.html", include_str!("../templates/decision.html")),
    (
        "parts/compare.html",
        include_str!("../templates/parts/compare.html"),
    ),
    (
        "parts/line.html",
        include_str!("../templates/parts/line.html"),
    ),
    (
        "parts/maps.html",
        include_str!("../templates/parts/maps.html"),
    ),
    (
        "parts/filter.html",
        include_str!("../templates/parts/filter.html"),
    ),
    (
        "parts/people.html",
        include_str!("../templates/parts/people.html"),
    ),
    (
        "parts/table.html",
        include_str!("../templates/parts/table.html"),
    ),
    (
        "parts/panels.html",
        include_str!("../templates/parts/panels.html"),
    ),
    (
        "parts/languages.html",
        include_str!("../templates/parts/languages.html"),
    ),
    (
        "parts/method.html",
        include_str!("../templates/parts/method.html"),
    ),
];

/// Style and script, the same on every page.
pub(crate) const STYLE: &str = include_str!("../templates/atlas.css");
pub(crate) const SCRIPT: &str = include_str!("../templates/atlas.js");

/// Renders one page; an unknown name in a template is an error, never an empty string.
pub(crate) fn render<S: serde::Serialize>(
    name: &str,
    context: S,
) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    environment.get_template(name)?.render(Serde(context))
}
