//! Python's methods of strings and lists that templates call and `pycompat` lacks.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Methods of Python's strings and lists that `pycompat` lacks.
pub(super) fn unknown_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let argument = |index: usize| args.get(index).and_then(Value::as_str);
        match (method, argument(0), args.len()) {
            ("removeprefix", Some(prefix), 1) => {
                return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
            }
            ("removesuffix", Some(suffix), 1) => {
                return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
            }
            ("partition", Some(separator), 1) => {
                let (a, b, c) = match text.split_once(separator) {
                    Some((before, after)) => (before, separator, after),
                    None => (text, "", ""),
                };
                return Ok([a, b, c].into_iter().map(Value::from).collect());
            }
            ("rsplit", Some(separator), 1 | 2) => return rsplit(text, separator, args.get(1)),
            ("index", Some(part), 1) => {
                return match text.find(part) {
                    Some(at) => Ok(Value::from(text[..at].chars().count())),
                    None => Err(Error::new(
                        ErrorKind::InvalidOperation,
                        "substring not found",
                    )),
                };
            }
            _ => {}
        }
    }
    if method == "index"
        && value.kind() == ValueKind::Seq
        && let [wanted] = args
    {
        let position = value.try_iter()?.position(|item| item == *wanted);
        return position.map(Value::from).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("{wanted} is not in list"),
            )
        });
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

fn rsplit(text: &str, separator: &str, limit: Option<&Value>) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let limit = limit.and_then(|limit| usize::try_from(limit.clone()).ok());
    let mut parts: Vec<&str> = match limit {
        Some(limit) => text.rsplitn(limit + 1, separator).collect(),
        None => text.rsplit(separator).collect(),
    };
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// `x is iterable`: nothing (`none`) is not, an undefined value is.
pub(super) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}
