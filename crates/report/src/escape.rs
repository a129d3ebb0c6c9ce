//! Escaping for the parts that are not templates: SVG text, Markdown and CSV.

/// Text for HTML and SVG, in elements and in quoted attributes.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Text for a cell of a Markdown table: one line, nothing that would open markup or end the cell.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A field of a CSV file by RFC 4180: quoted where it holds a quote, a comma or a line break.
/// Text that a spreadsheet would run as a formula is led by an apostrophe; numbers are not.
pub(crate) fn csv(field: &str) -> String {
    let is_formula =
        field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let field = if is_formula {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_is_inert() {
        assert_eq!(
            super::html("<a href='x'>&\"</a>"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;"
        );
        assert_eq!(super::markdown("a|b\n<i>`c`"), "a\\|b &lt;i&gt;\\`c\\`");
    }

    #[test]
    fn csv_fields_follow_rfc_4180() {
        for (field, want) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("-0.11", "-0.11"),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("العربية", "العربية"),
        ] {
            assert_eq!(super::csv(field), want);
        }
    }
}
