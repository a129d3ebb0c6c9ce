//! Fields of a protocol buffer message, one after the other.
//!
//! Source: the encoding page of the protocol buffers documentation.

/// A field's value as it is written; groups, which nothing here has, are an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    /// A text, a list of bytes or another message.
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Numbers and values of the fields; ends after the first error.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = bytes.len() - rest.len();
        let field = next(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| format!("no field at byte {at} of a message")))
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(rest)?;
    let field = match key & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => Field::Fixed64(u64::from_le_bytes(*chunk(rest)?)),
        2 => {
            let n_bytes = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(n_bytes)?;
            *rest = after;
            Field::Bytes(bytes)
        }
        5 => Field::Fixed32(u32::from_le_bytes(*chunk(rest)?)),
        _ => return None,
    };
    Some((key >> 3, field))
}

fn chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow. At most ten bytes.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Field::{Bytes, Fixed32, Varint};
    use super::*;

    #[test]
    fn fields_are_read_and_a_torn_one_ends_the_message() {
        // Field 1: 150 = 0x96 0x01; field 2: `ab`; field 3: 1.0 as 32 bits.
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 2, b'a', b'b', 0x1D, 0, 0, 0x80, 0x3F,
        ];
        let read: Result<Vec<_>, _> = fields(&bytes).collect();
        let want = vec![
            (1, Varint(150)),
            (2, Bytes(b"ab")),
            (3, Fixed32(1.0_f32.to_bits())),
        ];
        assert_eq!(read.unwrap(), want);
        assert_eq!(fields(&[]).count(), 0);
        // A length beyond the end, a varint without one, a group.
        for torn in [&[0x12, 9, 1][..], &[0x08, 0xFF], &[0x0B, 0]] {
            assert_eq!(fields(torn).filter(Result::is_err).count(), 1, "{torn:?}");
        }
    }
}
