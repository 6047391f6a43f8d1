//! A duration as a number of seconds, to the millisecond: how people's formats have it.

use std::time::Duration;

use serde::{de::Error, Deserialize, Deserializer, Serialize, Serializer};

/// # Errors
/// Those of `to`.
pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(rounded(*time))
}

/// # Errors
/// What is no number, or no duration.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(f64::deserialize(from)?).map_err(D::Error::custom)
}

fn bounded(seconds: f64) -> Result<Duration, String> {
    match (0.0..MAX_SECONDS).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err(format!("{seconds} s is no time that anything takes")),
    }
}

/// A hundred years: longer than anything here, and far from overflowing a clock.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86_400.0;

/// The same where there may be none.
pub mod option {
    use super::{Deserialize, Deserializer, Duration, Error, Serialize, Serializer};

    /// # Errors
    /// Those of `to`.
    pub fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(super::rounded).serialize(to)
    }

    /// # Errors
    /// What is no number, or no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        seconds
            .map(super::bounded)
            .transpose()
            .map_err(D::Error::custom)
    }
}

/// Seconds to the millisecond.
pub fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
