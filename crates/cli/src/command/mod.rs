//! One file per sub-command: arguments, call, show.

pub(crate) mod classify;
pub(crate) mod decide;
pub(crate) mod embed;
pub(crate) mod generate;
pub(crate) mod hidden;
pub(crate) mod identify;
pub(crate) mod languages;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod survey;
pub(crate) mod tokenize;
pub(crate) mod tokens;
pub(crate) mod tour;
pub(crate) mod validate;
