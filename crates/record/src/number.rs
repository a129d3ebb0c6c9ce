//! How numbers are written for people, in reasons, tables and pages: fixed digits, a true minus, no
//! negative zero.

/// A number with `digits` decimals; the minus is U+2212, as wide as a digit.
pub fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let is_zero = text
        .trim_start_matches('-')
        .bytes()
        .all(|byte| matches!(byte, b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(rest) if is_zero => rest.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// The two ends of an interval; "to" where a dash could be read as a minus.
pub fn interval(low: f64, high: f64, digits: usize) -> String {
    let dash = if low < 0.0 { " to " } else { "\u{2013}" };
    format!("{}{dash}{}", decimal(low, digits), decimal(high, digits))
}

/// A count with thousands separated: `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A large count in words of three figures: `45.2 million`, `1.35 billion`, `8,700`.
pub fn people(value: u64) -> String {
    let scaled = |unit: f64, name: &str| {
        let x = value as f64 / unit;
        let digits = if x < 10.0 { 2 } else { usize::from(x < 100.0) };
        let text = format!("{x:.digits$}");
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            &text
        };
        format!("{text} {name}")
    };
    match value {
        0..1_000_000 => count(value),
        1_000_000..1_000_000_000 => scaled(1e6, "million"),
        _ => scaled(1e9, "billion"),
    }
}

/// Seconds as `1 h 02 min`, `3 min 20 s` or `12 s`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(decimal(0.716, 2), "0.72");
        assert_eq!(decimal(-0.333, 2), "\u{2212}0.33");
        assert_eq!(decimal(-0.001, 2), "0.00");
        assert_eq!(interval(0.2, 0.9, 2), "0.20\u{2013}0.90");
        assert_eq!(interval(-0.1, 0.43, 2), "\u{2212}0.10 to 0.43");
        assert_eq!(count(0), "0");
        assert_eq!(count(134_515_008), "134,515,008");
        assert_eq!(people(8_700), "8,700");
        assert_eq!(people(1_030_000), "1.03 million");
        assert_eq!(people(45_200_000), "45.2 million");
        assert_eq!(people(546_000_000), "546 million");
        assert_eq!(people(1_349_000_000), "1.35 billion");
        assert_eq!(duration(12.4), "12 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(3720.0), "1 h 02 min");
    }
}
