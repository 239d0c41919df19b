//! Tables for terminals, laid out as kubectl and upstream's subctl do.

use std::fmt;

/// A column: its head, and how much of a value is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) max: Option<usize>,
}

impl Column {
    pub(crate) const fn new(head: &'static str) -> Self {
        Self { head, max: None }
    }

    pub(crate) const fn at_most(head: &'static str, max: usize) -> Self {
        Self { head, max: Some(max) }
    }
}

/// Rows under columns. A table without rows prints nothing.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cut = |(column, cell): (&Column, String)| match column.max {
            Some(max) if cell.chars().count() > max => cell.chars().take(max - 1).chain(['…']).collect(),
            _ => cell,
        };
        self.rows.push(self.columns.iter().zip(cells).map(cut).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let heads: Vec<String> = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let lines = || std::iter::once(&heads).chain(&self.rows);
        let width =
            |index: usize| lines().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..heads.len()).map(|index| width(index).unwrap_or(0) + 3).collect();
        for row in lines() {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", padded.collect::<String>().trim_end())?;
        }
        Ok(())
    }
}

/// A truth as tables show it.
pub(crate) const fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 2]]) -> String {
        let mut table = Table::new(&[Column::new("NAME"), Column::at_most("VALUE", 6)]);
        for row in rows {
            table.row(row.map(str::to_owned));
        }
        table.to_string()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three() {
        assert_eq!(table(&[["a", "b"], ["longer", "c"]]), "NAME     VALUE\na        b\nlonger   c\n");
    }

    #[test]
    fn a_cut_value_shows_that_it_was_cut() {
        assert_eq!(table(&[["a", "1234567"]]), "NAME   VALUE\na      12345…\n");
    }

    #[test]
    fn an_empty_table_prints_nothing() {
        assert_eq!(table(&[]), "");
    }
}
