//! How a session's fields lie in memory and in the store, and how they are changed by splicing.
//! Floor 1.
//!
//! Each field is `name length: u8, value length: u32 big-endian, name, value`, one after the
//! other. Values are opaque. The Redis scripts splice the same bytes the same way: what changes is
//! cut out, and the new value goes to the front, so that what changes often is found at once.

/// Bytes in front of a name.
pub(crate) const FIELD_HEAD: usize = 5;

/// One field, where it stands.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Offset of the first byte after it.
    pub(crate) end: usize,
}

/// The fields in order. Ends early where the bytes make no sense; see [`is_sound`].
pub(crate) fn walk(fields: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let field = field_at(fields, at)?;
        at = field.end;
        Some(field)
    })
}

fn field_at(fields: &[u8], at: usize) -> Option<Field<'_>> {
    let (head, rest) = fields.get(at..)?.split_first_chunk::<FIELD_HEAD>()?;
    let name_length = usize::from(head[0]);
    let value_length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let (name, rest) = rest.split_at_checked(name_length)?;
    let value = rest.get(..value_length)?;
    (!name.is_empty()).then_some(Field {
        name,
        value,
        end: at + FIELD_HEAD + name_length + value_length,
    })
}

/// Whether the bytes are fields from the first to the last. Asked once, when they come in: what is
/// walked later is sound.
pub(crate) fn is_sound(fields: &[u8]) -> bool {
    walk(fields).last().map_or(0, |field| field.end) == fields.len()
}

/// Appends a field. The caller has checked both lengths.
pub(crate) fn push(fields: &mut Vec<u8>, name: &str, value: &[u8]) {
    fields.extend_from_slice(&field_head(name, value));
    fields.extend_from_slice(name.as_bytes());
    fields.extend_from_slice(value);
}

/// What stands in front of a name. The caller has checked both lengths.
pub(crate) fn field_head(name: &str, value: &[u8]) -> [u8; FIELD_HEAD] {
    let [a, b, c, d] = (value.len() as u32).to_be_bytes();
    [name.len() as u8, a, b, c, d]
}

/// Appends the fields but for those whose name `is_cut` picks.
pub(crate) fn push_without(kept: &mut Vec<u8>, fields: &[u8], is_cut: impl Fn(&[u8]) -> bool) {
    let mut start = 0;
    for field in walk(fields) {
        if !is_cut(field.name) {
            kept.extend_from_slice(&fields[start..field.end]);
        }
        start = field.end;
    }
}

/// The value of a field; of the first one, should the name stand there twice.
pub(crate) fn find<'a>(fields: &'a [u8], name: &str) -> Option<&'a [u8]> {
    walk(fields)
        .find(|field| field.name == name.as_bytes())
        .map(|field| field.value)
}

/// The largest number, and its negative the smallest, that a counter may hold: 2^53 - 1.
///
/// Beyond it neither Lua nor JavaScript counts exactly.
pub(crate) const COUNTER_MAX: i64 = (1 << 53) - 1;

/// Adds to the decimal number in a field; a field that is not there counts as zero.
///
/// `None` where the field holds no integer or the sum leaves the range of a counter.
pub(crate) fn add(fields: &[u8], name: &str, by: i64) -> Option<(Vec<u8>, i64)> {
    let current = find(fields, name).map_or(Some(0), counter)?;
    let sum = current.checked_add(by).filter(|sum| in_range(*sum))?;
    let text = sum.to_string();
    let mut changed = Vec::with_capacity(fields.len() + FIELD_HEAD + name.len() + text.len());
    push(&mut changed, name, text.as_bytes());
    push_without(&mut changed, fields, |other| other == name.as_bytes());
    Some((changed, sum))
}

pub(crate) fn in_range(number: i64) -> bool {
    (-COUNTER_MAX..=COUNTER_MAX).contains(&number)
}

/// Sixteen digits hold every counter.
fn counter(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let plain = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    text.parse().ok().filter(|number| in_range(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut fields = Vec::new();
        push(&mut fields, "a", b"1");
        push(&mut fields, "long", &[7; 300]);
        push(&mut fields, "empty", b"");
        fields
    }

    #[test]
    fn every_cut_of_sound_bytes_is_unsound_or_ends_at_a_field() {
        let fields = sample();
        let ends: Vec<usize> = walk(&fields).map(|field| field.end).collect();
        for length in 0..=fields.len() {
            let sound = is_sound(&fields[..length]);
            assert_eq!(sound, length == 0 || ends.contains(&length), "{length}");
        }
    }

    #[test]
    fn hostile_lengths_are_unsound() {
        assert!(!is_sound(&[0, 0, 0, 0, 0]), "a name of no bytes");
        assert!(!is_sound(&[1, 255, 255, 255, 255, b'a']));
        assert!(is_sound(&[1, 0, 0, 0, 0, 0xff]), "a name that is no text");
    }

    #[test]
    fn counters_are_whole_numbers_in_range() {
        let of = |text: &str, by| {
            let mut fields = Vec::new();
            push(&mut fields, "n", text.as_bytes());
            add(&fields, "n", by).map(|(_, sum)| sum)
        };
        assert_eq!(of("41", 1), Some(42));
        assert_eq!(of("-1", 1), Some(0));
        assert_eq!(of("9007199254740990", 1), Some(COUNTER_MAX));
        for (text, by) in [
            ("9007199254740991", 1),
            ("-9007199254740991", -1),
            ("1.0", 1),
            ("\"1\"", 1),
            ("", 1),
            ("-", 1),
            ("+1", 1),
            ("null", 1),
            ("99999999999999999", 0),
        ] {
            assert_eq!(of(text, by), None, "{text} {by}");
        }
        assert_eq!(add(&[], "n", -3).map(|(_, sum)| sum), Some(-3));
    }
}
