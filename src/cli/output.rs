//! What commands print.

use serde::Serialize;

use super::CliError;

/// Rows as JSON, or as a table with these headings.
pub(super) fn list<T: Serialize, const N: usize>(
    json: bool,
    rows: &[T],
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> Result<(), CliError> {
    match json {
        true => print_json(rows),
        false => print(&table(rows, headings, cells)),
    }
}

/// Anything as JSON.
pub(super) fn print_json(value: &(impl Serialize + ?Sized)) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| CliError::Io(error.to_string()))?;
    print(&text)
}

/// Rows as a table with these headings.
pub(super) fn table<T, const N: usize>(
    rows: &[T],
    headings: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> String {
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: [usize; N] = std::array::from_fn(|i| {
        lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0)
    });
    let text: Vec<String> = lines
        .iter()
        .map(|line| {
            let padded: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect();
    text.join("\n")
}

/// One line, or several, on standard output.
pub(super) fn print(text: &str) -> Result<(), CliError> {
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
