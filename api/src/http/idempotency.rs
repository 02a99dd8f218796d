//! The header `Idempotency-Key`, as the IETF's draft has it (draft-ietf-httpapi-idempotency-key-header):
//! a string of Structured Fields (RFC 9651), in quotes. Most clients send it bare, and may.

use axum::http::{HeaderMap, HeaderName};

use super::document::RequestError;

const NAME: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a request, if it has the header.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, RequestError> {
    let mut lines = headers.get_all(NAME).into_iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let wrong = |reason: &str| RequestError {
        code: "BAD_REQUEST",
        message: format!("The header Idempotency-Key cannot be read: {reason}."),
    };
    if lines.next().is_some() {
        return Err(wrong("there are several of them"));
    }
    let Ok(text) = line.to_str().map(str::trim) else {
        return Err(wrong("it has other characters than those of ASCII that can be seen"));
    };
    let key = match text.strip_prefix('"') {
        Some(quoted) => read_string(quoted),
        None if text.contains('"') => None,
        None => Some(text.to_owned()),
    };
    key.map(Some).ok_or_else(|| wrong("a quotation mark or a backslash stands in the wrong place"))
}

/// What stands in quotation marks, of which the first is behind us.
fn read_string(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '\\' => key.push(rest.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' => break,
            other => key.push(other),
        }
    }
    // Parameters may follow; the draft gives them no meaning.
    let rest = rest.as_str().trim_start();
    (rest.is_empty() || rest.starts_with(';')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, &'static str> {
        let lines = lines.iter().map(|line| (NAME, line.parse().unwrap()));
        key(&lines.collect()).map_err(|error| error.code)
    }

    #[test]
    fn a_key_is_read_in_quotation_marks_and_without() {
        let one = |line| read(&[line]).unwrap().unwrap();
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(one("\"8e03978e-40d5\""), "8e03978e-40d5");
        assert_eq!(one("8e03978e-40d5"), "8e03978e-40d5");
        assert_eq!(one(r#""a \"b\" \\ c""#), r#"a "b" \ c"#);
        assert_eq!(one("\"k\";since=1; on"), "k");
        assert_eq!(one("two words"), "two words");
    }

    #[test]
    fn what_is_neither_is_refused() {
        for line in ["\"open", "closed\"", "\"a\" b", r#""a\b""#, r#""a\"#, "a\"b"] {
            assert_eq!(read(&[line]), Err("BAD_REQUEST"), "{line}");
        }
        assert_eq!(read(&["a", "a"]), Err("BAD_REQUEST"));
        assert_eq!(read(&["発券"]), Err("BAD_REQUEST"));
    }
}
