//! The bounded queue between the threads that log and the one that writes. To log never waits for the
//! output: lines that do not fit are dropped and counted.

use std::io::{ErrorKind, Write};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::LOG_LINES_DROPPED;

const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 1 << 20;
/// The wait before another attempt if the output is a non-blocking pipe that is full.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    lines: usize,
    /// Lines that were dropped and not reported yet.
    dropped: u64,
    is_writing: bool,
}

impl Queue {
    /// Appends a line, with its line break, or drops it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.lines == MOST_LINES || state.text.len() + line.len() > MOST_BYTES {
            state.drop_lines(1);
            return;
        }
        state.text.extend_from_slice(line);
        state.lines += 1;
        self.changed.notify_all();
    }

    /// Writes lines until there is none for a while. Returns how many were dropped before, once the output
    /// takes lines again.
    pub(super) fn write_to(&self, output: &mut impl Write, patience: Duration) -> u64 {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, patience, |state| state.lines == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if state.lines == 0 {
            return 0;
        }
        let (text, lines) = (std::mem::take(&mut state.text), std::mem::take(&mut state.lines));
        state.is_writing = true;
        drop(state);
        let is_written = write_all(output, &text);
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        if is_written {
            return std::mem::take(&mut state.dropped);
        }
        state.drop_lines(lines as u64);
        0
    }

    /// Waits until everything is written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.lines > 0 || state.is_writing;
        let _ = self.changed.wait_timeout_while(self.lock(), patience, is_busy);
    }

    /// The lock is held only to append or to take lines, never while they are written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_lines(&mut self, count: u64) {
        self.dropped += count;
        LOG_LINES_DROPPED.fetch_add(count, Ordering::Relaxed);
    }
}

/// Whether the whole text was written.
fn write_all(output: &mut impl Write, mut text: &[u8]) -> bool {
    while !text.is_empty() {
        match output.write(text) {
            Ok(0) => return false,
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            // For example: nobody reads the pipe any more, or the disk is full.
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_what_follows() {
        for line in [vec![b'\n'], vec![b'x'; 10_000]] {
            let queue = Queue::default();
            for _ in 0..5000 {
                queue.push(&line);
            }
            let mut written = Vec::new();
            let dropped = queue.write_to(&mut written, NOW);
            assert!(written.len() <= MOST_BYTES);
            assert_eq!(written.len() / line.len() + dropped as usize, 5000);
            assert!(dropped >= (5000 - MOST_LINES) as u64);
            queue.push(&line);
            assert_eq!(queue.write_to(&mut Vec::new(), NOW), 0, "each is reported once");
        }
    }

    #[test]
    fn lines_that_can_t_be_written_are_reported_once_the_output_works_again() {
        let queue = Queue::default();
        queue.push(b"a\n");
        queue.push(b"b\n");
        assert_eq!(queue.write_to(&mut Full, NOW), 0);
        queue.push(b"c\n");
        let mut written = Vec::new();
        assert_eq!(queue.write_to(&mut written, NOW), 2);
        assert_eq!(written, b"c\n");
    }
}
