//! The code that a person carries from one speaker to the other.

use std::fmt;

use zeroize::Zeroizing;

/// Eight digits. Nothing prints them but `Display`, which is for the person that reads
/// them; they are erased with it.
#[derive(PartialEq, Eq)]
pub struct PairingCode(Zeroizing<[u8; DIGITS]>);

/// What was typed is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a code has eight digits, such as 1234-5678")]
pub struct NoCode;

impl PairingCode {
    /// A code as good as any other, of as many random numbers as that takes; none when
    /// there are no more.
    pub fn pick(mut random: impl FnMut() -> Option<u32>) -> Option<Self> {
        loop {
            let number = random()?;
            // What is left over above the last whole round would favour some.
            if number < u32::MAX - u32::MAX % CODES {
                return Some(Self::of(number % CODES));
            }
        }
    }

    fn of(number: u32) -> Self {
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(digits)
    }

    /// Reads what somebody has typed, with what people put between digits.
    ///
    /// # Errors
    /// When these are not eight digits.
    pub fn parse(typed: &str) -> Result<Self, NoCode> {
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut count = 0;
        for c in typed
            .trim()
            .chars()
            .filter(|c| !" -.\u{2010}\u{2013}".contains(*c))
        {
            if !c.is_ascii_digit() || count == DIGITS {
                return Err(NoCode);
            }
            digits[count] = c as u8;
            count += 1;
        }
        match count {
            DIGITS => Ok(Self(digits)),
            _ => Err(NoCode),
        }
    }

    /// As both sides put it into the exchange.
    pub fn digits(&self) -> &[u8] {
        &*self.0
    }
}

impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0.split_at(DIGITS / 2);
        let part = |digits| std::str::from_utf8(digits).unwrap_or_default();
        write!(f, "{}-{}", part(first), part(last))
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(secret)")
    }
}

/// As many as a person remembers from one room to the next; with three tries, one in 33
/// million guesses right.
const DIGITS: usize = 8;
const CODES: u32 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_shown_and_as_people_write() {
        let code = PairingCode::pick(|| Some(4_012_345_678)).unwrap();
        assert_eq!(code.to_string(), "1234-5678");
        assert_eq!(format!("{code:?}"), "PairingCode(secret)");
        for typed in [
            "1234-5678",
            "12345678\n",
            " 12 34 56 78 ",
            "1234\u{2013}5678",
        ] {
            assert_eq!(PairingCode::parse(typed), Ok(PairingCode::of(12_345_678)));
        }
        for typed in ["", "1234-567", "1234-56789", "1234-567a", "\u{0661}2345678"] {
            assert_eq!(PairingCode::parse(typed), Err(NoCode), "{typed:?}");
        }
        assert_eq!(PairingCode::of(7).to_string(), "0000-0007");
    }

    #[test]
    fn no_code_is_likelier_than_another() {
        let mut numbers = [u32::MAX, 4_200_000_000, 4_199_999_999].into_iter();
        let code = PairingCode::pick(|| numbers.next()).unwrap();
        assert_eq!(code.to_string(), "9999-9999");
        assert_eq!(PairingCode::pick(|| None), None);
    }
}
