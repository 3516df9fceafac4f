//! What commands print. Nothing of it can move the cursor, hide or reverse text on a terminal: what is
//! stored may come from another program.

use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::CliError;
use crate::domain::{Escaped, escaped_json};

/// The widest that a cell of a list may be, in columns of the terminal. JSON has all of it.
const WIDEST: usize = 40;

/// Rows as JSON, or as a table with these headings.
pub(super) fn list<T: Serialize, const N: usize>(
    json: bool,
    rows: &[T],
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> Result<(), CliError> {
    match json {
        true => print_json(rows),
        false => print_lines(&table(rows, headings, |row| cells(row).map(|cell| cut(&cell)))),
    }
}

/// Anything as JSON.
pub(super) fn print_json(value: &(impl Serialize + ?Sized)) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| CliError::Io(error.to_string()))?;
    write(&escaped_json(&text))
}

/// A cell that is cut if it is wider than the widest.
fn cut(cell: &str) -> String {
    let cell = Escaped(cell).to_string();
    if cell.width() <= WIDEST {
        return cell;
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < WIDEST
    };
    cell.chars().take_while(fits).chain(['…']).collect()
}

/// Rows as a table with these headings.
pub(super) fn table<T, const N: usize>(
    rows: &[T],
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> Vec<String> {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row).map(|cell| Escaped(&cell).to_string())));
    let widths: [usize; N] =
        std::array::from_fn(|i| lines.iter().map(|line| line[i].width()).max().unwrap_or(0));
    let padded = |(cell, width): (&String, usize)| cell.clone() + &" ".repeat(width - cell.width());
    let line = |cells: &[String; N]| {
        let cells: Vec<String> = cells.iter().zip(widths).map(padded).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

/// One line on standard output.
pub(super) fn print(line: &str) -> Result<(), CliError> {
    write(&Escaped(line).to_string())
}

/// Several lines on standard output. What is stored must not begin a line of its own.
pub(super) fn print_lines(lines: &[String]) -> Result<(), CliError> {
    write(&escaped(lines.iter().map(String::as_str)))
}

/// Lines for a terminal, joined.
pub(super) fn escaped<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| Escaped(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// A text of the program's own on standard output, as it is.
pub(super) fn write(text: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| CliError::Io(format!("can't print: {error}")))
}

/// A value that may be missing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
