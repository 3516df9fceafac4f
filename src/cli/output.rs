//! Prints the results of commands. Characters that move the cursor, hide text or reverse it on a terminal
//! are escaped, because another program may have stored them in the database.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer as _};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::CliError;
use crate::domain::{Escaped, escaped_json};

/// The greatest width of a cell in a list, in terminal columns. JSON contains the whole text.
const WIDEST: usize = 40;

/// A column of a table: its heading, and the text of a row's cell.
pub(super) type Column<T> = (&'static str, fn(&T) -> String);

/// Prints rows as JSON or as a table. `next` returns a page of rows, and an empty page at the end. Only one
/// page is in memory at a time. The first page decides the widths of the columns.
pub(super) async fn list<T: Serialize>(
    json: bool,
    columns: &[Column<T>],
    mut next: impl AsyncFnMut() -> Result<Vec<T>, CliError>,
) -> Result<(), CliError> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut page = next().await?;
    if json {
        let mut serializer = serde_json::Serializer::pretty(EscapedJson(&mut stdout));
        let mut list = serializer.serialize_seq(None).map_err(write_error)?;
        while !page.is_empty() {
            page.iter().try_for_each(|row| list.serialize_element(row)).map_err(write_error)?;
            page = next().await?;
        }
        list.end().map_err(write_error)?;
        writeln!(stdout).map_err(write_error)?;
    } else {
        let shown = |row: &T| cells(columns, row).map(shorten_cell).collect();
        let mut lines = vec![headings(columns)];
        lines.extend(page.iter().map(shown));
        let widths = widths(&lines);
        while !lines.is_empty() {
            for cells in &lines {
                writeln!(stdout, "{}", line(cells, &widths)).map_err(write_error)?;
            }
            lines = next().await?.iter().map(shown).collect();
        }
    }
    stdout.flush().map_err(write_error)
}

fn write_error(error: impl Display) -> CliError {
    CliError::Failed(format!("can't write to standard output: {error}"))
}

/// Escapes JSON for a terminal. Each write must consist of whole characters, as `serde_json`'s do.
struct EscapedJson<W>(W);

impl<W: Write> Write for EscapedJson<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(json).map_err(io::Error::other)?;
        self.0.write_all(escaped_json(text).as_bytes())?;
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &(impl Serialize + ?Sized)) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| CliError::Failed(error.to_string()))?;
    write(&escaped_json(&text))
}

/// The text of a cell, shortened to the greatest width.
fn shorten_cell(cell: String) -> String {
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

/// Formats rows as the lines of a table.
pub(super) fn table<T>(rows: &[T], columns: &[Column<T>]) -> Vec<String> {
    let mut lines = vec![headings(columns)];
    lines.extend(rows.iter().map(|row| cells(columns, row).collect()));
    let widths = widths(&lines);
    lines.iter().map(|cells| line(cells, &widths)).collect()
}

fn headings<T>(columns: &[Column<T>]) -> Vec<String> {
    columns.iter().map(|&(heading, _)| heading.to_owned()).collect()
}

/// The escaped texts of a row's cells.
fn cells<T>(columns: &[Column<T>], row: &T) -> impl Iterator<Item = String> {
    columns.iter().map(|(_, cell)| Escaped(&cell(row)).to_string())
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = 0..lines.first().map_or(0, Vec::len);
    columns.map(|i| lines.iter().map(|line| line[i].width()).max().unwrap_or(0)).collect()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded = |(cell, width): (&String, &usize)| {
        cell.clone() + &" ".repeat(width.saturating_sub(cell.width()))
    };
    let cells: Vec<String> = cells.iter().zip(widths).map(padded).collect();
    cells.join("  ").trim_end().to_owned()
}

/// Prints one line.
pub(super) fn print(line: &str) -> Result<(), CliError> {
    write(&Escaped(line).to_string())
}

/// Prints several lines. A line break within a line is escaped, so that stored text can't forge a line.
pub(super) fn print_lines(lines: &[String]) -> Result<(), CliError> {
    write(&escape_lines(lines.iter().map(String::as_str)))
}

/// Escapes lines for a terminal and joins them.
pub(super) fn escape_lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| Escaped(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// Writes a text to standard output without escaping it.
pub(super) fn write(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(write_error)
}

/// A number and its noun: `1 token`, `2 tokens`.
pub(super) fn format_count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The text of a value, or `-` if there is none.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `yes` or `no`.
pub(super) fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
