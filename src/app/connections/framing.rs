//! Splits the input of HTTP/1 so that the library never gets a part of the next request with the present one.
//!
//! It decodes all heads that it gets at once, and each costs 6 kB. It also encodes an answer for the head that it
//! decoded last. So a part ends with the head of a request, or with its body if that is short and its length is
//! known.

use memchr::memchr;

/// Where the input is in a request.
#[derive(Default)]
pub(super) struct Framing {
    /// Whether the head, or the line of a chunked body, began in an earlier part.
    is_inside: bool,
    /// Whether the line so far, which began in an earlier part, has nothing but `\r`.
    is_blank: bool,
    /// How much of the present body is to come, by its `Content-Length`.
    body: u64,
}

impl Framing {
    /// The length of the next part of `input`: to the end of the present body; or through the first empty line,
    /// and the body that it declares. Once a body had no `Content-Length`, its end can't be told from the start
    /// of the next head, and `trusts_heads` must be false.
    pub(super) fn next_part(&mut self, input: &[u8], trusts_heads: bool) -> usize {
        let mut length = 0;
        if self.body == 0 {
            let is_whole = !self.is_inside && trusts_heads;
            length = self.through_empty_line(input);
            if is_whole && !self.is_inside {
                self.body = declared_length(&input[..length]);
            }
        }
        let rest = input.len() - length;
        let body = usize::try_from(self.body).map_or(rest, |body| body.min(rest));
        self.body -= body as u64;
        length + body
    }

    /// The length of the input up to the end of its first empty line, or the whole length.
    fn through_empty_line(&mut self, input: &[u8]) -> usize {
        let is_blank = |line: &[u8]| line.iter().all(|byte| *byte == b'\r');
        let (mut start, mut begins_blank) = (0, self.is_blank);
        while let Some(length) = memchr(b'\n', &input[start..]) {
            let line = &input[start..start + length];
            start += length + 1;
            if begins_blank && is_blank(line) {
                (self.is_inside, self.is_blank) = (false, false);
                return start;
            }
            begins_blank = true;
        }
        (self.is_inside, self.is_blank) = (true, begins_blank && is_blank(&input[start..]));
        input.len()
    }
}

/// The length of a body by the fields of its head; 0 if they don't tell it in one way.
fn declared_length(head: &[u8]) -> u64 {
    let mut declared = None;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr(b':', line) else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return 0;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = Some(value).filter(|value| value.iter().all(u8::is_ascii_digit));
            let length = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            match (declared, length) {
                (None, Some(length)) => declared = Some(length),
                _ => return 0,
            }
        }
    }
    declared.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(input: &str, size: usize, trusts_heads: bool) -> Vec<&str> {
        let (mut parts, mut at, mut framing) = (Vec::new(), 0, Framing::default());
        while at < input.len() {
            let end = input.len().min(at + size);
            let length = framing.next_part(&input.as_bytes()[at..end], trusts_heads);
            parts.push(&input[at..at + length]);
            at += length;
        }
        parts
    }

    #[test]
    fn a_part_has_one_head_however_the_input_is_split() {
        let heads = ["GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET /2 HTTP/1.1\n\n", "\r\nGET /3\r\n\n"];
        let input = heads.concat() + "rest";
        for size in 1..input.len() {
            for part in parts(&input, size, true) {
                let inside = part.trim_end_matches(['\r', '\n']);
                assert!(!inside.contains("\n\r\n") && !inside.contains("\n\n"), "{size}: {part:?}");
            }
        }
    }

    #[test]
    fn a_part_has_a_body_of_known_length_and_nothing_after_it() {
        let next = "GET / HTTP/1.1\r\n\r\n";
        let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        for (fields, body, is_known) in [
            ("Content-Length: 9", "ab\r\n\r\ncde", true),
            ("content-LENGTH:9\r\nA: b", "ab\r\n\r\ncde", true),
            ("Content-Length: 0", "", true),
            ("A: b", "", true),
            ("Content-Length: 9\r\nTransfer-Encoding: chunked", "0\r\n\r\n", false),
            ("Content-Length: 9\r\nContent-Length: 9", "ab\r\n\r\ncde", false),
            ("Content-Length: +9", "ab\r\n\r\ncde", false),
            ("Content-Length: 99999999999999999999", "ab\r\n\r\ncde", false),
        ] {
            let first = head(fields) + body;
            let input = first.clone() + next;
            let expected = if is_known { first } else { head(fields) };
            assert_eq!(parts(&input, 4096, true)[0], expected, "{fields}");
            assert_eq!(parts(&input, 4096, false)[0], head(fields), "{fields}");
        }
        // A body that comes later, in pieces.
        let first = head("Content-Length: 9") + "ab\r\n\r\ncde";
        let input = first.clone() + next;
        for size in head("Content-Length: 9").len()..input.len() {
            let parts = parts(&input, size, true);
            let through = parts.iter().scan(0, |sum, part| {
                Some({
                    *sum += part.len();
                    *sum
                })
            });
            assert!(through.into_iter().any(|sum| sum == first.len()), "{size}: {parts:?}");
        }
    }
}
