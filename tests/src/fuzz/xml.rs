//! Is it XML? Strict about what our own pictures use: elements, attributes in double quotes, text
//! and the five entities. Anything else is refused.

/// Checks a document of one root element; gives the number of elements.
pub fn check(text: &str) -> Result<usize, String> {
    if let Some(bad) = text.chars().find(|c| !is_xml(*c)) {
        return Err(format!("the character {bad:?}"));
    }
    let mut open: Vec<&str> = Vec::new();
    let (mut elements, mut rest) = (0, text.trim_end_matches('\n'));
    while !rest.is_empty() {
        let Some(inner) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            if open.is_empty() {
                return Err("text outside of the root".to_owned());
            }
            content(&rest[..end])?;
            rest = &rest[end..];
            continue;
        };
        let end = tag_end(inner)?;
        let tag = &inner[..end];
        rest = &inner[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
        } else {
            if open.is_empty() && elements > 0 {
                return Err("two roots".to_owned());
            }
            elements += 1;
            let inside = tag.strip_suffix('/');
            let name = attributes(inside.unwrap_or(tag))?;
            if inside.is_none() {
                open.push(name);
            }
        }
    }
    match open.last() {
        Some(name) => Err(format!("<{name}> is left open")),
        None if elements == 0 => Err("no element".to_owned()),
        None => Ok(elements),
    }
}

/// `Char` of XML 1.0.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Where the tag ends, whose first bracket is behind us.
fn tag_end(text: &str) -> Result<usize, String> {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'<' => return Err("a < inside of a tag".to_owned()),
            b'>' if !quoted => return Ok(at),
            _ => {}
        }
    }
    Err("a tag without end".to_owned())
}

/// Text or the value of an attribute.
fn content(text: &str) -> Result<(), String> {
    const ENTITIES: [&str; 5] = ["amp;", "lt;", "gt;", "quot;", "apos;"];
    let is_entity = |rest: &&str| ENTITIES.iter().any(|entity| rest.starts_with(entity));
    match text.split('&').skip(1).find(|rest| !is_entity(rest)) {
        Some(rest) => Err(format!("a bare & before {:?}", rest.chars().next())),
        None if text.contains("]]>") => Err("]]> in text".to_owned()),
        None => Ok(()),
    }
}

/// The name of an element whose attributes are well formed and there once.
fn attributes(tag: &str) -> Result<&str, String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    if !is_name(name) {
        return Err(format!("an element called {name:?}"));
    }
    let mut seen = Vec::new();
    while !rest.trim_start().is_empty() {
        let (attribute, value) = rest.trim_start().split_once("=\"").ok_or("no attribute")?;
        let (value, behind) = value.split_once('"').ok_or("a value without end")?;
        if !is_name(attribute) || seen.contains(&attribute) {
            return Err(format!("the attribute {attribute:?}"));
        }
        content(value)?;
        seen.push(attribute);
        rest = behind;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_is_no_xml_is_seen() {
        assert_eq!(check("<a b=\"1\" c=\"&lt;\"><d/>text &amp; 席</a>\n"), Ok(2));
        for bad in [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>text",
            "<a>&</a>",
            "<a>&x;</a>",
            "<a b=\"<\"/>",
            "<a b='1'/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>\u{1}</a>",
            "<a>\u{ffff}</a>",
            "<1 2/>",
            "<a><b></a></b>",
            "<a b=\"&\"/>",
            "<>",
            "<a>]]></a>",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
