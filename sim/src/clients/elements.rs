//! The results of a batch as they were written: to compare them byte for byte.

/// The elements of a JSON array, or of JSON lines, without what stands between them. The text is valid.
pub(super) fn elements(text: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    let (mut depth, mut in_string, mut is_escaped, mut start) = (0_u32, false, false, 0);
    // Of an array, the brackets around are no part of an element.
    let outside = u32::from(text.trim_ascii_start().starts_with(b"["));
    for (index, byte) in text.iter().enumerate() {
        if in_string {
            in_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                if depth == outside {
                    start = index;
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == outside && *byte == b'}' {
                    elements.push(&text[start..=index]);
                }
            }
            _ => {}
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_cut_where_they_end() {
        let parts = [r#"{"status":202,"order":{"a":["}\"",{}]}}"#, r#"{"b":"\\"}"#, "{}"];
        for text in [format!("[{}]", parts.join(",")), format!("[\n{}\n]\n", parts.join(", ")), parts.join("\n") + "\n"]
        {
            assert_eq!(elements(text.as_bytes()), parts.map(str::as_bytes), "{text}");
        }
        assert!(elements(b"[]").is_empty() && elements(b"").is_empty());
    }
}
