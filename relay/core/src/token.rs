//! Access tokens: their form, their hash, their comparison.
//!
//! Called wherever a token is made or presented. A token itself is never stored and never logged, only its
//! [`hash`].

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest;

/// What a token lets its bearer be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// One agent.
    Agent,
    /// The operator.
    Admin,
}

impl Role {
    const ALL: [Self; 2] = [Self::Agent, Self::Admin];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Agent => "cat_",
            Self::Admin => "cadm_",
        }
    }
}

/// The token as text: the role's prefix and the random bytes in base64url.
#[must_use]
pub fn format(role: Role, random: &[u8; 32]) -> String {
    format!("{}{}", role.prefix(), BASE64URL_NOPAD.encode(random))
}

/// The role that a well-formed token claims. Whether the token is known is for the store to say.
#[must_use]
pub fn parse_role(token: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| token.strip_prefix(role.prefix()).is_some_and(is_random_part))
}

fn is_random_part(text: &str) -> bool {
    BASE64URL_NOPAD.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
}

/// What is stored of a token: its SHA-256 in lower-case hexadecimal. 32 random bytes need no salt and no
/// slow hash.
#[must_use]
pub fn hash(token: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
#[must_use]
pub fn matches(hash_a: &str, hash_b: &str) -> bool {
    let differing_bits =
        hash_a.bytes().zip(hash_b.bytes()).fold(0, |bits, (a, b)| bits | std::hint::black_box(a ^ b));
    hash_a.len() == hash_b.len() && differing_bits == 0
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::agent(Role::Agent, "cat_")]
    #[case::admin(Role::Admin, "cadm_")]
    fn a_token_tells_its_role(#[case] role: Role, #[case] prefix: &str) {
        let token = format(role, &[0xfb; 32]);
        assert_eq!(token, format!("{prefix}-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s"));
        assert_eq!(parse_role(&token), Some(role));
    }

    #[rstest]
    #[case::empty("")]
    #[case::prefix_alone("cat_")]
    #[case::too_short("cat_AAAA")]
    #[case::unknown_prefix("dog_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    #[case::not_base64url("cat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/")]
    #[case::stray_bits("cat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB")]
    #[case::trailing_space("cat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ")]
    fn anything_else_is_no_token(#[case] text: &str) {
        assert_eq!(parse_role(text), None);
    }

    #[test]
    fn the_hash_is_sha_256_in_hexadecimal() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn only_equal_hashes_match() {
        assert!(matches(&hash("a"), &hash("a")));
        assert!(!matches(&hash("a"), &hash("b")));
        assert!(!matches(&hash("a"), &hash("a")[..63]));
        assert!(!matches("", &hash("a")));
    }
}
