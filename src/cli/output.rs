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

/// Prints rows as JSON or as a table with these headings. `next` returns a page of rows, and an empty page
/// at the end. Only one page is in memory at a time. The first page decides the widths of the columns.
pub(super) async fn list<T: Serialize, const N: usize>(
    json: bool,
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
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
        let shown = |row: &T| cells(row).map(|cell| shorten_cell(&cell));
        let mut lines = vec![headings.map(str::to_owned)];
        lines.extend(page.iter().map(shown));
        let widths = widths(&lines);
        while !lines.is_empty() {
            for cells in &lines {
                writeln!(stdout, "{}", line(cells, widths)).map_err(write_error)?;
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

/// The escaped text of a cell, shortened to the greatest width.
fn shorten_cell(cell: &str) -> String {
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

/// Formats rows as the lines of a table with these headings.
pub(super) fn table<T, const N: usize>(
    rows: &[T],
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> Vec<String> {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row).map(|cell| Escaped(&cell).to_string())));
    let widths = widths(&lines);
    lines.iter().map(|cells| line(cells, widths)).collect()
}

fn widths<const N: usize>(lines: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|i| lines.iter().map(|line| line[i].width()).max().unwrap_or(0))
}

fn line<const N: usize>(cells: &[String; N], widths: [usize; N]) -> String {
    let padded = |(cell, width): (&String, usize)| {
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
