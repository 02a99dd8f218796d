//! The committed schema is current, follows one style, and breaks nobody who uses the released
//! one.

mod breaking;
mod links;
mod style;

use std::path::PathBuf;

use super::{sdl, subgraph_sdl};

fn committed(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

#[test]
fn the_committed_schema_is_current() {
    let current = sdl();
    let (path, committed) = committed("schema.graphql");
    if std::env::var_os("HAKKEN_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    } else if committed != current {
        let differs = committed.lines().zip(current.lines()).position(|(old, new)| old != new);
        panic!(
            "api/schema.graphql is not what the code has, from line {} on. If the change is meant, \
             run the test with HAKKEN_BLESS=1 and commit the file.",
            differs.unwrap_or(0) + 1
        );
    }
}

#[test]
fn a_subgraph_is_the_schema_with_keys_for_its_entities() {
    let subgraph = subgraph_sdl();
    assert!(subgraph.starts_with("extend schema @link("));
    for entity in super::queries::ENTITIES {
        let head = format!("type {entity} implements Node @key(fields: \"id\") {{");
        assert_eq!(subgraph.matches(&head).count(), 1, "{head}");
    }
    let without = subgraph.replace(" @key(fields: \"id\")", "");
    let (_, without) = without.split_once("\n\n").unwrap();
    assert_eq!(without.trim_end(), sdl().trim_end());
}

/// A resolver whose field cannot be null and that fails takes its parent along, and that its own
/// parent. So whatever can fail is an `Answer`, which is null where it failed.
#[test]
fn no_resolver_takes_its_parent_along() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/schema");
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for part in ["types", "queries", "mutations"] {
        for file in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for body in text.split("#[Object]").skip(1) {
                let body = body.split("\n}\n").next().unwrap_or_default();
                for function in body.split("async fn ").skip(1) {
                    let head = function.split('{').next().unwrap_or_default();
                    let Some((_, answer)) = head.rsplit_once("->") else { continue };
                    looked_at += 1;
                    let name = head.split('(').next().unwrap_or_default();
                    // The specification of Federation wants this one not to be null.
                    if answer.contains("Result<") && name != "entities" {
                        wrong.push(format!("{}: {name}", path.display()));
                    }
                }
            }
        }
    }
    assert!(looked_at > 150, "{looked_at} resolvers only");
    assert_eq!(wrong, Vec::<String>::new(), "answer with an `Answer`");
}
