use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Seconds since the Unix epoch; shown as RFC 3339 in UTC, to the second, with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// The seconds since `i64::MIN`, never 0, so that an `Option<Timestamp>` takes no more memory: a cached
    /// token has three of them.
    NonZeroU64,
);

/// The source of `now`: the system's clock in a server, a clock set by hand in a test.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Flipping this bit maps signed to unsigned numbers and keeps their order.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The time `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: i64) -> Self {
        match NonZeroU64::new(seconds.cast_unsigned() ^ SIGN) {
            Some(counted) => Self(counted),
            // `i64::MIN`, 292 billion years ago, becomes the next second.
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// The time `seconds` later, saturating at the ends of the range.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self::from_unix(self.as_unix().saturating_add(seconds))
    }

    /// The time `seconds` earlier, saturating at the ends of the range.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self::from_unix(self.as_unix().saturating_sub(seconds))
    }
}

impl From<SystemTime> for Timestamp {
    /// Rounds down to a full second. A time before 1970 becomes 1970.
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_unix()).finish()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The last second that RFC 3339 can represent: 9999-12-31T23:59:59Z.
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(self.as_unix()).unwrap_or(0).min(LAST);
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_to_the_second() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (-5, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_unix(seconds).to_string(), shown);
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_the_range() {
        assert_eq!(Timestamp::from_unix(i64::MAX).plus(1).as_unix(), i64::MAX);
        assert_eq!(Timestamp::from_unix(i64::MIN).minus(1).as_unix(), i64::MIN + 1);
    }

    #[test]
    fn times_are_in_order_and_an_optional_one_takes_no_more_room() {
        let times = [i64::MIN + 1, -5, -1, 0, 1, 1_767_225_599, i64::MAX].map(|seconds| {
            assert_eq!(Timestamp::from_unix(seconds).as_unix(), seconds);
            Timestamp::from_unix(seconds)
        });
        assert!(times.is_sorted());
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
    }
}
