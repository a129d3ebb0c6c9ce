//! Typed access to the JSON settings of a Hugging Face folder.

use std::path::Path;

use serde_json::Value;

use super::CheckpointError;

/// Typed access to JSON settings; errors name the key.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) path: &'a Path,
    pub(crate) json: &'a Value,
}

impl Settings<'_> {
    pub(crate) fn wrong(&self, key: &str, expected: &str, found: &str) -> CheckpointError {
        CheckpointError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    pub(crate) fn is_null(&self, key: &str) -> bool {
        self.json.get(key).is_none_or(Value::is_null)
    }

    /// The first of these keys that is there: spellings of one setting.
    pub(crate) fn spelling<'k>(&self, keys: &[&'k str]) -> &'k str {
        let given = keys.iter().find(|key| !self.is_null(key));
        given.or(keys.last()).expect("a setting has a name")
    }

    /// From 1 to 2³¹ − 1.
    pub(crate) fn size(&self, key: &str, default: Option<usize>) -> Result<usize, CheckpointError> {
        let expected = "a size from 1 to 2147483647";
        match (self.json.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (None | Some(Value::Null), None) => Err(self.wrong(key, expected, "nothing")),
            (Some(value), _) => match value.as_u64() {
                Some(n) if (1..=i32::MAX as u64).contains(&n) => Ok(n as usize),
                _ => Err(self.wrong(key, expected, &value.to_string())),
            },
        }
    }

    pub(crate) fn float(&self, key: &str, default: Option<f64>) -> Result<f64, CheckpointError> {
        let expected = "a number above 0";
        match (self.json.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (None | Some(Value::Null), None) => Err(self.wrong(key, expected, "nothing")),
            (Some(value), _) => match value.as_f64() {
                Some(x) if x.is_finite() && x > 0.0 => Ok(x),
                _ => Err(self.wrong(key, expected, &value.to_string())),
            },
        }
    }

    /// A list of numbers above 0.
    pub(crate) fn floats(&self, key: &str) -> Result<Vec<f32>, CheckpointError> {
        let expected = "a list of numbers above 0";
        let list = self.json.get(key).and_then(Value::as_array);
        let list = list.ok_or_else(|| self.wrong(key, expected, "none"))?;
        list.iter()
            .map(|value| match value.as_f64() {
                Some(x) if x.is_finite() && x > 0.0 => Ok(x as f32),
                _ => Err(self.wrong(key, expected, &value.to_string())),
            })
            .collect()
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(value) => Err(self.wrong(key, "true or false", &value.to_string())),
        }
    }

    /// One id or a list of them; nothing is an empty list.
    pub(crate) fn token_ids(
        &self,
        key: &str,
        vocab_size: usize,
    ) -> Result<Vec<u32>, CheckpointError> {
        let wrong = |value: &Value| {
            let expected = format!("token ids below {vocab_size}");
            self.wrong(key, &expected, &value.to_string())
        };
        let id = |value: &Value| match value.as_u64() {
            Some(id) if id < vocab_size as u64 => Ok(id as u32),
            _ => Err(wrong(value)),
        };
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(value) => Ok(vec![id(value)?]),
        }
    }
}
