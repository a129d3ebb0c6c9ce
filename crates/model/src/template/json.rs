//! The filter `tojson`: JSON as transformers' templates write it, which is Python's `json.dumps`.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde_json::Value as Json;

/// How JSON is written.
struct Style {
    /// Spaces a level, and a line an entry; `None` writes one line.
    indent: Option<usize>,
    ensure_ascii: bool,
    sort_keys: bool,
    /// Between entries, and between a key and its value.
    separators: (String, String),
}

/// JSON as Python's `json.dumps` writes it: `, ` and `: `, non-ASCII as it is, no HTML escapes.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
pub(super) fn tojson(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let error = |message: String| Error::new(ErrorKind::BadSerialization, message);
    if value.is_undefined() {
        return Err(error("an undefined value is no JSON".into()));
    }
    let indent: Option<usize> = kwargs.get("indent")?;
    let ensure_ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    let sort_keys: Option<bool> = kwargs.get("sort_keys")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    kwargs.assert_all_used()?;
    let separators = match separators.as_deref() {
        Some([comma, colon]) => (comma.clone(), colon.clone()),
        Some(_) => return Err(error("`separators` are two texts".into())),
        None => {
            let comma = if indent.is_some() { "," } else { ", " };
            (comma.to_owned(), ": ".to_owned())
        }
    };
    if indent.is_some_and(|indent| indent > 64) {
        return Err(error("`indent` is at most 64".into()));
    }
    let json = serde_json::to_value(value).map_err(|e| error(e.to_string()))?;
    let style = Style {
        indent,
        ensure_ascii: ensure_ascii.unwrap_or(false),
        sort_keys: sort_keys.unwrap_or(false),
        separators,
    };
    let mut out = String::new();
    style.write(&json, 0, &mut out);
    Ok(Value::from_safe_string(out))
}

impl Style {
    fn write(&self, json: &Json, depth: usize, out: &mut String) {
        match json {
            Json::Array(items) if !items.is_empty() => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.begin_entry(i, depth + 1, out);
                    self.write(item, depth + 1, out);
                }
                self.new_line(depth, out);
                out.push(']');
            }
            Json::Object(entries) if !entries.is_empty() => {
                out.push('{');
                let mut entries: Vec<(&String, &Json)> = entries.iter().collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    self.begin_entry(i, depth + 1, out);
                    self.text(key, out);
                    out.push_str(&self.separators.1);
                    self.write(value, depth + 1, out);
                }
                self.new_line(depth, out);
                out.push('}');
            }
            Json::String(text) => self.text(text, out),
            Json::Number(number) => match number.as_f64() {
                Some(x) if number.is_f64() => out.push_str(&python_float(x)),
                _ => out.push_str(&number.to_string()),
            },
            other => out.push_str(&other.to_string()),
        }
    }

    fn begin_entry(&self, index: usize, depth: usize, out: &mut String) {
        if index > 0 {
            out.push_str(&self.separators.0);
        }
        self.new_line(depth, out);
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(width) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        let quoted = Json::from(text).to_string();
        if !self.ensure_ascii {
            return out.push_str(&quoted);
        }
        for letter in quoted.chars() {
            if letter.is_ascii() {
                out.push(letter);
                continue;
            }
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.extend(["\\u", &format!("{unit:04x}")]);
            }
        }
    }
}

/// A number as Python's `repr` writes it: an exponent of two digits at least, below 10⁻⁴ and from
/// 10¹⁶ on.
fn python_float(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e16).contains(&x.abs()) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').expect("`e` writes an exponent");
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{x:?}")
}

#[cfg(test)]
mod tests {
    use super::python_float;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (0.0001, "0.0001"),
            (1e-7, "1e-07"),
            (1.25e-10, "1.25e-10"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-3e100, "-3e+100"),
        ];
        for (x, want) in cases {
            assert_eq!(python_float(x), want);
        }
    }
}
