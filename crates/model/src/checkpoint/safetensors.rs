//! The safetensors container: one file, or shards named by `model.safetensors.index.json`.
//!
//! The header is read by the `safetensors` crate, which checks lengths, sizes and that tensors lie
//! side by side without holes or overlaps; what it says is put into our words here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isogloss_record::files;
use safetensors::SafeTensors;

use super::mapped::MappedFile;
use super::tensor::{Dtype, View};
use super::{CheckpointError, Entry};

/// Name of the list of shards.
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// The weight files of a folder, in the order of their names.
pub(crate) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let index = folder.join(INDEX);
    if !index.is_file() {
        return Ok(vec![folder.join(SINGLE)]);
    }
    let damaged = |what: &str, expected: &str, found: String| CheckpointError::Damaged {
        path: index.clone(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    let text = files::read_to_string(&index)?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| damaged("the file", "JSON", error.to_string()))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| damaged("`weight_map`", "an object", "none".into()))?;
    let mut names: Vec<&str> = Vec::new();
    for (tensor, file) in map {
        // Shards lie in the folder itself: a name with a path in it could read any file.
        match file.as_str() {
            Some(name) if !name.contains(['/', '\\']) && name != ".." => names.push(name),
            _ => {
                let expected = "the name of a file of this folder";
                return Err(damaged(
                    &format!("the file of `{tensor}`"),
                    expected,
                    file.to_string(),
                ));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(damaged("`weight_map`", "tensors", "none".into()));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Adds the tensors of one file under the names that `rename` gives; `None` leaves one out.
pub(crate) fn add_tensors(
    file: &MappedFile,
    file_idx: usize,
    rename: &impl Fn(&str) -> Option<String>,
    tensors: &mut BTreeMap<String, Entry>,
) -> Result<(), CheckpointError> {
    let damaged = |what: String, expected: &str, found: String| CheckpointError::Damaged {
        path: file.path.clone(),
        what,
        expected: expected.to_owned(),
        found,
    };
    let (header_bytes, header) = SafeTensors::read_metadata(file.bytes()).map_err(|error| {
        damaged(
            "the safetensors header".into(),
            "a sound one",
            error.to_string(),
        )
    })?;
    // The crate's offsets count from the end of the header, which 8 bytes of length precede.
    let data_start = 8 + header_bytes;
    let by_name: BTreeMap<String, _> = header.tensors().into_iter().collect();
    for (file_name, info) in by_name {
        let Some(name) = rename(&file_name) else {
            continue;
        };
        let what = format!("tensor `{file_name}`");
        let dtype = match info.dtype {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::BF16,
            other => {
                return Err(CheckpointError::Unsupported {
                    path: file.path.clone(),
                    what: format!("the storage format {other:?} of {what}"),
                });
            }
        };
        if info.shape.contains(&0) || info.shape.is_empty() {
            let found = format!("shape {:?}", info.shape);
            return Err(damaged(what, "dimensions from 1 on", found));
        }
        let (start, end) = info.data_offsets;
        let entry = Entry {
            file: file_idx,
            range: data_start + start..data_start + end,
            dtype,
            shape: info.shape.clone(),
            view: View::Whole,
        };
        if tensors.insert(name, entry).is_some() {
            return Err(damaged(what, "one entry in all files", "two".into()));
        }
    }
    Ok(())
}
