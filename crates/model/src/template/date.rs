//! The date that a template is told: a constant one, in the C library's notation.

/// The constant date in the C library's notation; unknown fields stay as they are.
pub(super) fn strftime(format: &str) -> String {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('Y') => out.push_str("2025"),
            Some('y') => out.push_str("25"),
            Some('m' | 'd') => out.push_str("01"),
            Some('e') => out.push_str(" 1"),
            Some('B') => out.push_str("January"),
            Some('b' | 'h') => out.push_str("Jan"),
            Some('A') => out.push_str("Wednesday"),
            Some('a') => out.push_str("Wed"),
            Some('j') => out.push_str("001"),
            Some('F') => out.push_str("2025-01-01"),
            Some('H' | 'M' | 'S') => out.push_str("00"),
            Some('I') => out.push_str("12"),
            Some('p') => out.push_str("AM"),
            Some('T') => out.push_str("00:00:00"),
            Some('Z') => out.push_str("UTC"),
            // Python's extension of the C notation: no padding.
            Some('-') => match letters.next() {
                Some('d' | 'm') => out.push('1'),
                Some('H' | 'M' | 'S') => out.push('0'),
                Some('I') => out.push_str("12"),
                other => {
                    out.push_str("%-");
                    out.extend(other);
                }
            },
            Some('%') => out.push('%'),
            other => {
                out.push('%');
                out.extend(other);
            }
        }
    }
    out
}
