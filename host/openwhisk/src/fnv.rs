//! FNV-1a (RFC 9923): a text to a number that is the same in every version and on every machine, as what is stored and
//! shared needs. It resists nobody who looks for collisions.

/// 64 bits.
pub fn fnv1a_64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// 128 bits.
pub fn fnv1a_128(bytes: impl IntoIterator<Item = u8>) -> u128 {
    let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte| (hash ^ u128::from(byte)).wrapping_mul(prime);
    bytes.into_iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_specification() {
        let vectors = [
            ("", 0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d),
            ("a", 0xaf63_dc4c_8601_ec8c, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964),
            ("foobar", 0x8594_4171_f739_67e8, 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18),
        ];
        for (text, of_64, of_128) in vectors {
            assert_eq!((fnv1a_64(text.bytes()), fnv1a_128(text.bytes())), (of_64, of_128), "{text:?}");
        }
    }
}
