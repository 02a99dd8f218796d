//! GraphiQL without internet: one page of our own, and the vendored files that it loads from
//! `/graphiql/`. Where the files come from stands in `api/assets/graphiql/README.md`.

/// What a browser may load for the page: nothing from any other host.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'";

/// What is served under `/graphiql/`.
const ASSETS: [(&str, &str, &[u8]); 9] = [
    ("react.js", JAVASCRIPT, include_bytes!("../assets/graphiql/react.js")),
    ("react-dom.js", JAVASCRIPT, include_bytes!("../assets/graphiql/react-dom.js")),
    ("graphiql.js", JAVASCRIPT, include_bytes!("../assets/graphiql/graphiql.js")),
    ("graphiql.css", CSS, include_bytes!("../assets/graphiql/graphiql.css")),
    ("explorer.js", JAVASCRIPT, include_bytes!("../assets/graphiql/explorer.js")),
    ("explorer.css", CSS, include_bytes!("../assets/graphiql/explorer.css")),
    ("hakken.js", JAVASCRIPT, include_bytes!("../assets/graphiql/hakken.js")),
    ("hakken.css", CSS, include_bytes!("../assets/graphiql/hakken.css")),
    ("LICENSES.txt", TEXT, include_bytes!("../assets/graphiql/LICENSES.txt")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The page. `endpoint` and `ws_endpoint` are paths on the host that serves the page (the policy
/// in [`CONTENT_SECURITY_POLICY`] keeps the browser there); `first_query` is what a newcomer finds
/// in the editor.
pub fn page(endpoint: &str, ws_endpoint: &str, first_query: &str) -> String {
    let settings = serde_json::json!({
        "endpoint": endpoint,
        "wsEndpoint": ws_endpoint,
        "firstQuery": first_query,
    });
    // Within a script element `<` could end the element; JSON knows it by another name, too.
    let settings = settings.to_string().replace('<', "\\u003c");
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
<title>Hakken GraphiQL</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/graphiql/graphiql.css">
<link rel="stylesheet" href="/graphiql/explorer.css">
<link rel="stylesheet" href="/graphiql/hakken.css">
</head>
<body>
<div id="graphiql"></div>
<noscript>GraphiQL needs JavaScript. The API answers POST requests at its endpoint.</noscript>
<script id="settings" type="application/json">{settings}</script>
<script src="/graphiql/react.js"></script>
<script src="/graphiql/react-dom.js"></script>
<script src="/graphiql/graphiql.js"></script>
<script src="/graphiql/explorer.js"></script>
<script src="/graphiql/hakken.js"></script>
</body>
</html>
"#
    )
}

/// A file of `/graphiql/`, by its path after that: its content type and its bytes.
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    ASSETS.iter().find(|(name, ..)| *name == path).map(|(_, kind, bytes)| (*kind, *bytes))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_file_that_the_page_asks_for_is_served_from_here() {
        let page = page("/graphql", "/graphql", "{ shows { id } }");
        let mut asked = 0;
        for part in page.split(['"', '\'']).filter(|part| part.contains("graphiql/")) {
            let file = part.strip_prefix("/graphiql/").expect("from this host");
            assert!(asset(file).is_some(), "{file}");
            asked += 1;
        }
        assert_eq!(asked, 8);
        assert!(!page.contains("//"), "no other host is named");
        assert_eq!(asset("../Cargo.toml"), None);
        assert_eq!(asset(""), None);
    }

    #[test]
    fn the_docs_are_open_and_a_header_waits_for_the_key() {
        let text = |name| std::str::from_utf8(asset(name).unwrap().1).unwrap();
        let (own, graphiql) = (text("hakken.js"), text("graphiql.js"));
        let plugin = own.split("visiblePlugin: \"").nth(1).and_then(|rest| rest.split('"').next());
        let plugin = plugin.expect("a plugin that is open");
        assert!(graphiql.contains(&format!("title:\"{plugin}\"")), "{plugin}");
        assert!(own.contains("defaultHeaders: JSON.stringify({ Authorization: placeholder }"));
        assert!(own.contains("defaultEditorToolsVisibility: \"headers\""));
    }

    #[test]
    fn a_query_cannot_leave_its_place_in_the_page() {
        let page = page("/graphql", "/graphql", "# </script><script>alert(1)</script> 公演");
        assert!(!page.contains("<script>alert"));
        let settings = page.split("application/json\">").nth(1).unwrap();
        let settings = settings.split("</script>").next().unwrap();
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap();
        assert_eq!(settings["firstQuery"], "# </script><script>alert(1)</script> 公演");
    }

    #[test]
    fn the_vendored_files_are_those_of_the_readme_and_under_four_megabytes() {
        let readme = include_str!("../assets/graphiql/README.md");
        let total: usize = ASSETS.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(total < 4_000_000, "{total}");
        for (name, _, bytes) in ASSETS {
            let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
            let row = readme.lines().find(|line| line.starts_with(&format!("| {name} |")));
            if let Some(row) = row {
                assert!(row.contains(&hex), "{name} is {hex}");
            } else {
                assert!(name.starts_with("hakken") || name == "LICENSES.txt", "{name}");
            }
        }
    }
}
