//! SentencePiece's table of normalization rules: a byte trie from letters to their replacements.
//!
//! Layout: length of the trie in bytes (32 bits), the trie as a double array of 32-bit units
//! (little endian), replacements that each end in a zero byte. A unit holds a label (bits 0–7, and
//! bit 31 set where the unit is a value), a mark that a value follows (bit 8), and how far its
//! children lie (bits 10–30, times 256 if bit 9 is set).
//!
//! Source: `normalizer.cc` of SentencePiece; `darts.h` of darts-clone.

/// The rules.
#[derive(Debug, Clone)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl Charsmap {
    /// Reads a `precompiled_charsmap`; `None` for an empty one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(format!("{} bytes", bytes.len()));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if !length.is_multiple_of(4) || length > rest.len() || length == 0 {
            return Err(format!("a trie of {length} bytes in {}", rest.len()));
        }
        let (trie, replacements) = rest.split_at(length);
        let (units, _) = trie.as_chunks::<4>();
        Ok(Some(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: replacements.to_vec(),
        }))
    }

    /// The longest rule that `text` begins with: how many bytes it replaces, and by what (which
    /// may be nothing). A rule that would end within a letter is passed over.
    pub(crate) fn longest_match(&self, text: &str) -> Option<(usize, &str)> {
        let (mut at, mut best) = (0, None);
        let mut unit = *self.units.first()?;
        at ^= offset(unit);
        for (n_before, byte) in text.bytes().enumerate() {
            at ^= usize::from(byte);
            let Some(next) = self.units.get(at) else {
                break;
            };
            unit = *next;
            if label(unit) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            let n_bytes = n_before + 1;
            if has_value(unit)
                && text.is_char_boundary(n_bytes)
                && let Some(value) = self.units.get(at)
                && let Some(replacement) = self.replacement((value & 0x7FFF_FFFF) as usize)
            {
                best = Some((n_bytes, replacement));
            }
        }
        best
    }

    fn replacement(&self, start: usize) -> Option<&str> {
        let rest = self.replacements.get(start..)?;
        let n_bytes = rest.iter().position(|byte| *byte == 0)?;
        str::from_utf8(&rest[..n_bytes]).ok()
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

fn label(unit: u32) -> u32 {
    unit & 0x8000_00FF
}

fn has_value(unit: u32) -> bool {
    unit & 0x100 != 0
}

#[cfg(test)]
mod tests {
    use super::Charsmap;

    /// Rules `a` → `bc` and `é` → `e`, laid out by hand.
    fn rules() -> Vec<u8> {
        let mut units = vec![0_u32; 0x400];
        // The root's children lie at 0x100 ^ byte.
        units[0] = 0x100 << 10;
        // `a`: a value at 0x161 ^ 0x200 ^ … = its own place ^ offset.
        let mut leaf = |at: usize, byte: u8, to: usize, value: u32| {
            units[at] = (((at ^ to) as u32) << 10) | 0x100 | u32::from(byte);
            units[to] = 0x8000_0000 | value;
        };
        leaf(0x100 ^ 0x61, 0x61, 0x300, 0);
        leaf(0x200 ^ 0xA9, 0xA9, 0x301, 3);
        units[0x100 ^ 0xC3] = (((0x100 ^ 0xC3 ^ 0x200) as u32) << 10) | 0xC3;
        let mut bytes = (4 * units.len() as u32).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(b"bc\0e\0");
        bytes
    }

    #[test]
    fn the_longest_rule_is_found_and_damage_is_no_rule() {
        let map = Charsmap::parse(&rules()).unwrap().unwrap();
        assert_eq!(map.longest_match("ax"), Some((1, "bc")));
        assert_eq!(map.longest_match("éx"), Some((2, "e")));
        assert_eq!(map.longest_match("ê"), None);
        assert_eq!(map.longest_match("ก"), None);
        assert_eq!(map.longest_match(""), None);
        assert!(Charsmap::parse(b"").unwrap().is_none());
        assert!(Charsmap::parse(b"abc").is_err());
        assert!(Charsmap::parse(&[8, 0, 0, 0, 1, 2, 3, 4]).is_err());
        // A replacement without an end.
        let bytes = rules();
        let map = Charsmap::parse(&bytes[..bytes.len() - 3]).unwrap().unwrap();
        assert_eq!(map.longest_match("é"), None);
    }
}
