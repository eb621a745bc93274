//! Amounts of memory as OpenWhisk writes them: `"256 MB"`, `"1073741824 B"`.

/// Bytes in `text`, a whole number and a unit (`B`, `KB`, `MB`, `GB`; powers of 1024).
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim().to_ascii_uppercase().as_str() {
        "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Whole MB in `text`, when it is a whole number of them.
pub(crate) fn parse_megabytes(text: &str) -> Option<u32> {
    let bytes = parse_bytes(text)?;
    if bytes % (1 << 20) != 0 {
        return None;
    }
    u32::try_from(bytes >> 20).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_both_spellings() {
        assert_eq!(parse_megabytes("256 MB"), Some(256));
        assert_eq!(parse_megabytes("256M"), Some(256));
        assert_eq!(parse_megabytes("1073741824 B"), Some(1024));
        assert_eq!(parse_megabytes("2 GB"), Some(2048));
        for wrong in
            ["", "256", "MB", "1.5 GB", "1 B", "-1 MB", "99999999999999999999 B", "18446744073709551615 GB"]
        {
            assert_eq!(parse_megabytes(wrong), None, "{wrong}");
        }
    }
}
