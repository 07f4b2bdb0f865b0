//! Secrets at rest: AES-256-GCM, bound to the row that they stand in.
//!
//! Called by the service that keeps the providers' credentials. A sealed text that is moved to another row, or put
//! back after it was replaced, does not open. A nonce must never be used twice with one key: the caller draws each
//! from the system's randomness.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Where a sealed text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The table.
    pub table: &'a str,
    /// The row, by its key.
    pub row: &'a str,
    /// How often the row's secret was written.
    pub version: i64,
}

/// It was not sealed with this key for this place, or has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed text does not belong here, or the key is another one")]
pub struct NotOurs;

/// The sealed text: as long as the plain one, and 16 bytes that prove it.
#[must_use]
pub fn seal(key: &[u8; 32], nonce: [u8; 12], context: &Context<'_>, plaintext: &[u8]) -> Vec<u8> {
    let mut bytes = plaintext.to_vec();
    cipher(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated(context)),
            &mut bytes,
        )
        .expect("a text in memory is far shorter than the 64 GiB that AES-GCM allows");
    bytes
}

/// The plain text, if it was sealed with this key and nonce for this place.
pub fn open(
    key: &[u8; 32],
    nonce: [u8; 12],
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<Vec<u8>, NotOurs> {
    let mut bytes = sealed.to_vec();
    let plain = cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated(context)), &mut bytes)
        .map_err(|_| NotOurs)?;
    Ok(plain.to_vec())
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

/// Each text stands behind its length, so that no two places read alike.
fn associated(context: &Context<'_>) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
    [text(context.table), text(context.row), context.version.to_be_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const NONCE: [u8; 12] = [9; 12];
    const HERE: Context<'_> = Context { table: "provider_credentials", row: "twilio", version: 3 };

    fn changed<const N: usize>(bytes: [u8; N]) -> [u8; N] {
        bytes.map(|byte| byte ^ 1)
    }

    #[test]
    fn what_was_sealed_here_opens_here() {
        let sealed = seal(&KEY, NONCE, &HERE, b"secret");
        assert_eq!(open(&KEY, NONCE, &HERE, &sealed), Ok(b"secret".to_vec()));
    }

    #[rstest]
    #[case::another_row(Context { row: "resend", ..HERE })]
    #[case::an_older_version(Context { version: 2, ..HERE })]
    #[case::another_table(Context { table: "agents", ..HERE })]
    #[case::the_same_letters_cut_otherwise(Context { table: "provider_credential", row: "stwilio", ..HERE })]
    fn nothing_opens_in_another_place(#[case] place: Context<'_>) {
        let sealed = seal(&KEY, NONCE, &HERE, b"secret");
        assert_eq!(open(&KEY, NONCE, &place, &sealed), Err(NotOurs));
    }

    #[rstest]
    #[case::another_key(changed(KEY), NONCE)]
    #[case::another_nonce(KEY, changed(NONCE))]
    fn nothing_opens_otherwise(#[case] key: [u8; 32], #[case] nonce: [u8; 12]) {
        let sealed = seal(&KEY, NONCE, &HERE, b"secret");
        assert_eq!(open(&key, nonce, &HERE, &sealed), Err(NotOurs));
    }

    #[rstest]
    #[case::nothing(0)]
    #[case::less_than_the_proof(15)]
    #[case::all_but_a_byte(21)]
    fn a_shortened_text_does_not_open(#[case] length: usize) {
        let sealed = seal(&KEY, NONCE, &HERE, b"secret");
        assert_eq!(open(&KEY, NONCE, &HERE, &sealed[..length]), Err(NotOurs));
    }

    /// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", which NIST published.
    #[test]
    fn the_cipher_is_the_published_one() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = hex("cafebabefacedbaddecaf888");
        let mut bytes = hex(concat!(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa",
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ));
        let associated = Aad::from(hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let plain = cipher(&key.try_into().unwrap()).open_in_place(nonce, associated, &mut bytes).unwrap();
        let expected = concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        assert_eq!(HEXLOWER.encode(plain), expected);
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(
            secret in prop::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut sealed = seal(&KEY, NONCE, &HERE, &secret);
            prop_assert_eq!(open(&KEY, NONCE, &HERE, &sealed), Ok(secret));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(open(&KEY, NONCE, &HERE, &sealed), Err(NotOurs));
        }
    }
}
