//! Text of a continuation while it grows: whole characters only, and nothing of a stop text.

/// What of a growing text may be shown.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Shown so far.
    shown: String,
    /// Ids whose text is not whole yet.
    pending: Vec<u32>,
    /// Text that may be the beginning of a stop text.
    held: String,
}

/// A character has four bytes at most, and a token one at least; what is longer is no UTF-8.
const N_PENDING: usize = 8;

impl Growing {
    /// The text that a new token makes sure of; may be empty.
    pub(super) fn push(
        &mut self,
        id: u32,
        stops: &[String],
        decode: impl Fn(&[u32]) -> String,
    ) -> String {
        self.pending.push(id);
        let text = decode(&self.pending);
        if text.ends_with('\u{FFFD}') && self.pending.len() < N_PENDING {
            return String::new();
        }
        self.pending.clear();
        self.held.push_str(&text);
        let n_sure = n_sure(&self.held, stops);
        let sure: String = self.held.drain(..n_sure).collect();
        self.shown.push_str(&sure);
        sure
    }

    /// What is left to show, now that the whole text is known.
    pub(super) fn finish(&self, text: &str) -> String {
        text.strip_prefix(self.shown.as_str())
            .unwrap_or_default()
            .to_owned()
    }
}

/// Bytes before anything that is a stop text or may become one.
fn n_sure(text: &str, stops: &[String]) -> usize {
    text.char_indices()
        .map(|(at, _)| at)
        .find(|&at| {
            let rest = &text[at..];
            let mut stops = stops.iter().map(String::as_str);
            stops.any(|stop| rest.starts_with(stop) || stop.starts_with(rest))
        })
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are bytes.
    fn shown(text: &str, stops: &[&str]) -> Vec<String> {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let decode = |ids: &[u32]| {
            let bytes: Vec<u8> = ids.iter().map(|id| *id as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut growing = Growing::default();
        let end = stops.iter().filter_map(|stop| text.find(stop)).min();
        let mut all: Vec<String> = text
            .bytes()
            .map(|byte| growing.push(u32::from(byte), &stops, decode))
            .collect();
        all.push(growing.finish(&text[..end.unwrap_or(text.len())]));
        all.retain(|part| !part.is_empty());
        all
    }

    #[test]
    fn characters_come_whole_and_stops_never_begin() {
        assert_eq!(shown("กa", &[]), ["ก", "a"]);
        assert_eq!(shown("नि", &[]), ["न", "ि"]);
        assert_eq!(shown("ab\nc", &["\n"]), ["a", "b"]);
        // `x` of `xyz` is held until it is clear that no stop text begins.
        assert_eq!(shown("axb", &["xyz"]), ["a", "xb"]);
        assert_eq!(shown("axyz", &["xyz"]), ["a"]);
        assert_eq!(shown("ax", &["xyz"]), ["a", "x"]);
    }

    proptest::proptest! {
        #[test]
        fn the_parts_are_the_text(text in "[abกم \\n]{0,12}", stop in "[abกم\\n]{1,3}") {
            let end = text.find(&stop).unwrap_or(text.len());
            proptest::prop_assert_eq!(shown(&text, &[&stop]).concat(), &text[..end]);
        }
    }
}
