//! A plain table: what the terminal, Markdown and CSV are written from.

use crate::escape;

/// Rows of text under a header; every row has as many cells as the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Titles of the columns.
    pub header: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// RFC 4180: CRLF, quotes doubled.
    pub(crate) fn to_csv(&self) -> String {
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let fields: Vec<String> = row.iter().map(|field| escape::csv(field)).collect();
            text.push_str(&fields.join(","));
            text.push_str("\r\n");
        }
        text
    }

    /// A Markdown table; columns whose cells are all numbers or empty are aligned to the right.
    pub(crate) fn to_markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let escaped = |row: &Vec<String>| {
            row.iter()
                .map(|cell| escape::markdown(cell))
                .collect::<Vec<_>>()
        };
        let rules: Vec<String> = (0..self.header.len())
            .map(|column| {
                if self.is_numeric(column) {
                    "--:".into()
                } else {
                    "---".into()
                }
            })
            .collect();
        let mut text = line(&escaped(&self.header));
        text.push_str(&line(&rules));
        for row in &self.rows {
            text.push_str(&line(&escaped(row)));
        }
        text
    }

    /// Whether a column reads as numbers (so that it is best aligned to the right).
    pub fn is_numeric(&self, column: usize) -> bool {
        let starts_as_number = |cell: &str| {
            cell.trim_start_matches(['\u{2212}', '-'])
                .starts_with(|first: char| first.is_ascii_digit())
        };
        let mut cells = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .filter(|cell| !cell.is_empty() && *cell != "–");
        cells.clone().next().is_some() && cells.all(|cell| starts_as_number(cell))
    }
}
