//! Tables for people.

/// `rows` under `header`, columns aligned: the first to the left, the others to the right.
pub fn aligned(header: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let fields = rows.iter().filter_map(|row| row.get(column)).map(|field| field.chars().count());
        fields.chain([header[column].as_ref().chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let titles: Vec<String> = header.iter().map(|title| title.as_ref().to_string()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (column, (field, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&if column == 0 {
                format!("{field:width$}")
            } else {
                format!("  {field:>width$}")
            });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_field() {
        let text = aligned(&["policy", "n"], &[vec!["a".into(), "1,000".into()]]);
        assert_eq!(text, "policy      n\na       1,000\n");
    }
}
