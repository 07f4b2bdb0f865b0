//! Random bytes from the operating system, for secrets and for marks that nobody may guess.

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

pub(crate) fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut random = [0; COUNT];
    SystemRandom::new().fill(&mut random).expect("the operating system gives random bytes");
    random
}

/// So many random bytes, as text of twice the length.
pub(crate) fn hex<const COUNT: usize>() -> String {
    HEXLOWER.encode(&bytes::<COUNT>())
}
