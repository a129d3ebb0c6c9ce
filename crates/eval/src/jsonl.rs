//! JSON lines in and out: one object per line, unknown fields kept, order kept.
//!
//! Every error names the file and the line. Blank lines are skipped; a byte-order mark at the start
//! is ignored.

use std::io::{self, BufRead, Write};

use isogloss_record::{Explain, files};
use serde_json::{Map, Value};

/// One line: its fields and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// 1-based.
    pub number: usize,
    /// Fields in the order of the file.
    pub fields: Map<String, Value>,
}

/// A line that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The system refused to read or write.
    #[error("cannot read or write `{file}`: {source}")]
    Io {
        /// Name of the file, or `standard input`.
        file: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// Not UTF-8.
    #[error("`{file}` line {line} is not UTF-8: byte 0x{byte:02x} at column {column}")]
    NotUtf8 {
        /// Name of the file.
        file: String,
        /// 1-based.
        line: usize,
        /// The first byte that is not.
        byte: u8,
        /// 1-based, in bytes.
        column: usize,
    },
    /// Not a JSON object.
    #[error("`{file}` line {line} is not a JSON object: {problem}")]
    NotAnObject {
        /// Name of the file.
        file: String,
        /// 1-based.
        line: usize,
        /// What was found.
        problem: String,
    },
    /// A field is missing or of another type, or the line cannot be answered.
    #[error("`{file}` line {line}: {problem}")]
    Field {
        /// Name of the file.
        file: String,
        /// 1-based.
        line: usize,
        /// What was expected and found.
        problem: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Explain for LineError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => Some(files::hint(source.kind()).into()),
            Self::NotUtf8 { .. } => Some("convert the file to UTF-8".into()),
            Self::NotAnObject { .. } => Some(
                "one JSON object per line, for example {\"id\": 1, \"text\": \"kaixo\"}".into(),
            ),
            Self::Field { hint, .. } => hint.clone(),
        }
    }
}

/// Reads all lines of `reader`; `file` names it in errors.
pub fn read(reader: impl BufRead, file: &str) -> Result<Vec<Line>, LineError> {
    let mut lines = Vec::new();
    for (index, bytes) in reader.split(b'\n').enumerate() {
        let number = index + 1;
        let bytes = bytes.map_err(|source| LineError::Io {
            file: file.to_owned(),
            source,
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| LineError::NotUtf8 {
            file: file.to_owned(),
            line: number,
            byte: bytes[error.valid_up_to()],
            column: error.valid_up_to() + 1,
        })?;
        let text = if index == 0 {
            text.trim_start_matches('\u{feff}')
        } else {
            text
        };
        if text.trim().is_empty() {
            continue;
        }
        let fields = serde_json::from_str(text).map_err(|error| LineError::NotAnObject {
            file: file.to_owned(),
            line: number,
            problem: problem(text, &error),
        })?;
        lines.push(Line { number, fields });
    }
    Ok(lines)
}

/// What is wrong with a line, without the position that serde counts from its start.
fn problem(text: &str, error: &serde_json::Error) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(_)) => "found an array".to_owned(),
        Ok(Value::String(_)) => "found a string".to_owned(),
        Ok(Value::Number(_)) => "found a number".to_owned(),
        Ok(_) => "found a literal".to_owned(),
        Err(_) => format!("{error}"),
    }
}

/// Writes one object as a line.
pub fn write(
    writer: &mut dyn Write,
    fields: &Map<String, Value>,
    file: &str,
) -> Result<(), LineError> {
    serde_json::to_writer(&mut *writer, fields)
        .map_err(io::Error::from)
        .and_then(|()| writer.write_all(b"\n"))
        .map_err(|source| LineError::Io {
            file: file.to_owned(),
            source,
        })
}

impl Line {
    /// The `id` field as it was given; the line's number where there is none.
    pub fn id(&self) -> Value {
        self.fields
            .get("id")
            .cloned()
            .unwrap_or_else(|| self.number.into())
    }

    /// A text field; `None` if it is absent, an error if it is something else.
    pub(crate) fn text(&self, field: &str, file: &str) -> Result<Option<&str>, LineError> {
        match self.fields.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(
                file,
                format!("`{field}` must be a string, found {}", kind(other)),
            )),
        }
    }

    /// The `token_ids` field; `None` if it is absent.
    pub(crate) fn token_ids(&self, file: &str) -> Result<Option<Vec<u32>>, LineError> {
        let Some(value) = self.fields.get("token_ids") else {
            return Ok(None);
        };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| {
                self.error(
                    file,
                    "`token_ids` must be an array of non-negative integers".to_owned(),
                )
            })
    }

    /// An error at this line.
    pub(crate) fn error(&self, file: &str, problem: String) -> LineError {
        LineError::Field {
            file: file.to_owned(),
            line: self.number,
            problem,
            hint: None,
        }
    }

    /// An answer: the id, the fields that the command does not know, then the answer's own fields.
    pub(crate) fn answer(&self, known: &[&str], answer: Vec<(&str, Value)>) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), self.id());
        for (name, value) in &self.fields {
            if name != "id" && !known.contains(&name.as_str()) {
                fields.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in answer {
            fields.insert(name.to_owned(), value);
        }
        fields
    }
}

/// A number as the shortest decimal that reads back to it: `0.1`, where the nearest `f64` to the
/// same `f32` would be written 0.10000000149011612. Null where it is not finite.
pub(crate) fn decimal(number: f32) -> Value {
    let shortest: f64 = number
        .to_string()
        .parse()
        .expect("what a number is written as is a number");
    shortest.into()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_blank_lines_and_a_torn_end_of_line() {
        let text =
            "\u{feff}{\"id\":\"b\",\"text\":\"สวัสดี\",\"z\":1,\"a\":2}\r\n\n{\"text\":\"नमस्ते\"}";
        let lines = read(text.as_bytes(), "f").unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0].fields.keys().collect::<Vec<_>>(),
            ["id", "text", "z", "a"]
        );
        assert_eq!((lines[1].number, lines[1].id()), (3, 3.into()));
        let answer = lines[0].answer(&["text"], vec![("n", 5.into())]);
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"id":"b","z":1,"a":2,"n":5}"#
        );
    }

    #[test]
    fn numbers_are_short_and_read_back() {
        for (number, written) in [
            (0.1_f32, "0.1"),
            (-0.1, "-0.1"),
            (-3.402_823_5e38, "-3.4028235e+38"),
            (1e-45, "1e-45"),
            (-12.345_679, "-12.345679"),
            (-0.0, "-0.0"),
            (16_777_216.0, "16777216.0"),
        ] {
            let value = decimal(number);
            assert_eq!(value.to_string(), written);
            let read: f32 = value.to_string().parse().unwrap();
            assert_eq!(read.to_bits(), number.to_bits());
        }
        assert_eq!(decimal(f32::NAN), Value::Null);
        assert_eq!(decimal(f32::NEG_INFINITY), Value::Null);
    }

    proptest::proptest! {
        #[test]
        fn every_finite_number_reads_back(bits: u32) {
            let number = f32::from_bits(bits);
            proptest::prop_assume!(number.is_finite());
            let written = decimal(number).to_string();
            proptest::prop_assert_eq!(written.parse::<f32>().unwrap().to_bits(), bits);
            // Nine digits say every f32.
            let digits = written.split('e').next().unwrap_or_default();
            let significant = digits.trim_end_matches(".0").trim_matches(['-', '0', '.']);
            let n = significant.chars().filter(char::is_ascii_digit).count();
            proptest::prop_assert!(n <= 9, "{}", written);
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let check = |bytes: &[u8], want: &str| {
            let error = read(bytes, "in.jsonl").unwrap_err().to_string();
            assert!(error.contains(want), "`{error}` should contain `{want}`");
        };
        check(
            b"{\"a\":1}\n[1]\n",
            "`in.jsonl` line 2 is not a JSON object: found an array",
        );
        check(
            b"{\"a\":\"\xff\"}",
            "line 1 is not UTF-8: byte 0xff at column 7",
        );
        check(b"{\"a\":", "line 1 is not a JSON object: EOF");
        let lines = read(&b"{\"text\":7}"[..], "in.jsonl").unwrap();
        assert!(
            lines[0]
                .text("text", "in.jsonl")
                .unwrap_err()
                .to_string()
                .contains("found a number")
        );
    }
}
