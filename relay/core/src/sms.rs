//! How many segments a text message is charged as.
//!
//! Called before sending. The provider's own count, once it is known, wins.

/// The characters of the GSM 7-bit default alphabet (3GPP TS 23.038, 6.2.1).
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those of its extension table, which take two places (6.2.1.1).
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// The number of segments; none for an empty text.
#[must_use]
pub fn segments(text: &str) -> i64 {
    match text.chars().map(septets).sum::<Option<usize>>() {
        Some(septets) => parts(septets, 160, 153),
        None => parts(text.encode_utf16().count(), 70, 67),
    }
}

/// The places that a character takes in the 7-bit alphabet, if it is in it.
fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) { Some(1) } else { EXTENDED.contains(c).then_some(2) }
}

fn parts(length: usize, alone: usize, joined: usize) -> i64 {
    let count = if length <= alone { length.min(1) } else { length.div_ceil(joined) };
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", 0, 0)]
    #[case::one_letter("a", 1, 1)]
    #[case::full("a", 160, 1)]
    #[case::one_over("a", 161, 2)]
    #[case::two_full("a", 306, 2)]
    #[case::three("a", 307, 3)]
    #[case::extension_counts_twice("€", 80, 1)]
    #[case::extension_over("€", 81, 2)]
    #[case::accents_of_the_alphabet("é", 160, 1)]
    #[case::ucs2_full("ê", 70, 1)]
    #[case::ucs2_over("ê", 71, 2)]
    #[case::ucs2_three("ê", 135, 3)]
    #[case::emoji_is_two_units("👍", 35, 1)]
    #[case::emoji_over("👍", 36, 2)]
    #[case::backtick_is_not_in_the_alphabet("`", 71, 2)]
    fn segments_are_counted_as_charged(#[case] piece: &str, #[case] times: usize, #[case] expected: i64) {
        assert_eq!(segments(&piece.repeat(times)), expected);
    }
}
