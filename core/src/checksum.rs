//! CRC-32, the checksum of everything that is stored: weight files, snapshots, state files.

/// CRC-32 of IEEE 802.3 (reflected, polynomial 0xEDB88320) over the parts in order, byte by byte.
pub fn crc32(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, &byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(byte)) & 0xFF) as usize];
    !parts.iter().copied().flatten().fold(!0, step)
}

/// What eight steps of the bit-wise division make of every byte.
static TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_check_value() {
        assert_eq!(crc32(&[b"123456789"]), 0xCBF4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xCBF4_3926);
        assert_eq!(crc32(&[]), 0);
    }
}
