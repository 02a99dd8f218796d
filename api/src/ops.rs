//! The page of whoever runs the engine: one document, one style sheet and scripts of our own, and
//! nothing from any other host. It holds no data. It asks `/metrics`, `/readyz` and GraphQL, with
//! the key that is typed into it and kept for as long as its window is open.

/// What a browser may load for the page.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The page.
pub(crate) const PAGE: &[u8] = include_bytes!("../assets/ops/ops.html");

/// What is served under `/ops/`.
const ASSETS: [(&str, &str, &[u8]); 6] = [
    ("ops.css", CSS, include_bytes!("../assets/ops/ops.css")),
    ("ops.js", JAVASCRIPT, include_bytes!("../assets/ops/ops.js")),
    ("charts.js", JAVASCRIPT, include_bytes!("../assets/ops/charts.js")),
    ("metrics.js", JAVASCRIPT, include_bytes!("../assets/ops/metrics.js")),
    ("engine.js", JAVASCRIPT, include_bytes!("../assets/ops/engine.js")),
    ("words.js", JAVASCRIPT, include_bytes!("../assets/ops/words.js")),
];

/// A file of `/ops/`, by its path after that: its content type and its bytes.
pub(crate) fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    ASSETS.iter().find(|(name, ..)| *name == path).map(|(_, kind, bytes)| (*kind, *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &'static [u8]) -> &'static str {
        std::str::from_utf8(bytes).expect("UTF-8")
    }

    /// What stands between this and the next quotation mark.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_file_that_the_page_asks_for_is_served_from_here() {
        let page = text(PAGE);
        let mut asked = Vec::new();
        for attribute in ["src=\"", "href=\""] {
            asked.extend(quoted(page, attribute).filter(|file| !file.starts_with("data:")));
        }
        assert!(asked.len() >= 2, "{asked:?}");
        for file in asked {
            assert!(asset(file.trim_start_matches("/ops/")).is_some(), "{file}");
        }
        for (name, kind, bytes) in ASSETS.iter().filter(|(_, kind, _)| *kind == JAVASCRIPT) {
            for module in quoted(text(bytes), " from \"./") {
                assert!(asset(module).is_some_and(|(of, _)| of == *kind), "{name}: {module}");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_another_host_and_nothing_stands_inline() {
        let namespace = "http://www.w3.org/2000/svg";
        let all = ASSETS.iter().map(|(name, _, bytes)| (*name, text(bytes)));
        for (name, content) in all.chain([("ops.html", text(PAGE))]) {
            let content = content.replace(namespace, "");
            for foreign in ["http://", "https://", "innerHTML", "eval(", "document.write"] {
                assert!(!content.contains(foreign), "{name} has {foreign}");
            }
        }
        let page = text(PAGE);
        for inline in ["<style", " style=", " onclick=", "<script>"] {
            assert!(!page.contains(inline), "the policy forbids {inline}");
        }
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
        assert_eq!(asset("../Cargo.toml"), None);
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = ASSETS.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(bytes + PAGE.len() < 100_000, "{bytes}");
    }
}
