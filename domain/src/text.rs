//! Texts of others inside sentences of ours: an error must not be as long as what it is about.

/// The text, or its first so many characters and `…`.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The text, or as much of its beginning and of its end as so many characters allow: for
/// sentences that say at their end where something stands.
pub fn shortened_within(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count - most / 3).collect();
    format!("{}{end}", shortened(text, most - most / 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("席席席", 3), "席席席");
        assert_eq!(shortened("席席席席", 3), "席席席…");
        assert_eq!(shortened("", 0), "");
        assert_eq!(shortened_within("123456", 6), "123456");
        assert_eq!(shortened_within("席2345678席", 6), "席234…8席");
        assert_eq!(shortened_within(&"x".repeat(9_000), 300).chars().count(), 301);
    }
}
