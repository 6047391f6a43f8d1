//! Times as the protocol writes them: ISO 8601.

use std::fmt::Write as _;

/// Seconds since 1970 as ISO 8601 in UTC, to the second.
pub fn format_time(seconds: i64) -> String {
    let mut text = String::new();
    push_time(seconds, &mut text);
    text
}

/// Appends what [`format_time`] gives: lists have it for each line.
pub fn push_time(seconds: i64, text: &mut String) {
    let days = seconds.div_euclid(DAY);
    let rest = seconds.rem_euclid(DAY);
    let (year, month, day) = civil(days);
    match u16::try_from(year) {
        Ok(year @ 0..=9999) => push_digits::<4>(year, text),
        _ => _ = write!(text, "{year:04}"),
    }
    let parts = [month, day, rest / 3600, rest / 60 % 60, rest % 60];
    for (before, part) in ["-", "-", "T", ":", ":"].into_iter().zip(parts) {
        text.push_str(before);
        push_digits::<2>(part as u16, text);
    }
    text.push('Z');
}

/// Appends the last `N` decimal digits of a number.
fn push_digits<const N: usize>(mut number: u16, text: &mut String) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    text.push_str(str::from_utf8(&digits).unwrap_or_default());
}

/// Seconds since 1970 from ISO 8601 in UTC (a date, or a date and a time) or
/// from a plain number.
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(seconds.into());
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z').unwrap_or(time), ':')?;
    let days = (1..=9999)
        .contains(&year)
        .then(|| days_from_civil(year, month, day));
    let days = days.filter(|&days| civil(days) == (year, month, day))?;
    let in_day = hour < 24 && minute < 60 && second < 61;
    in_day.then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u16>().ok());
    let mut next = || parts.next().flatten().map(i64::from);
    let numbers = [next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}

/// Days since 1970 of a date in the Gregorian calendar, counted in eras of 400
/// years that begin with March, so that a leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_what_date_says() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_time(seconds), text);
            assert_eq!(parse_time(text), Some(seconds));
        }
        assert_eq!(parse_time("1970-01-02"), Some(DAY));
        for bad in ["2025-02-29", "x", "2025-01-01T25:00:00Z", "0000-01-01"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in -62_135_596_800..253_402_300_800i64) {
            prop_assert_eq!(parse_time(&format_time(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_a_time_or_not(text in ".*", seconds: i32) {
            let _ = parse_time(&text);
            let _ = format_time(seconds.into());
        }
    }
}
