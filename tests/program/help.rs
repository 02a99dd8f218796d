//! `--help` says what each command is for.

use super::program::{good, run};

const COMMANDS: [&[&str]; 20] = [
    &[],
    &["serve"],
    &["demo"],
    &["import"],
    &["schema"],
    &["keys"],
    &["keys", "create"],
    &["keys", "list"],
    &["keys", "revoke"],
    &["copy"],
    &["doctor"],
    &["events"],
    &["replay"],
    &["rebuild"],
    &["verify"],
    &["projections"],
    &["skip"],
    &["backup"],
    &["verify-backup"],
    &["restore"],
];

#[test]
fn every_command_and_every_option_is_explained() {
    for command in COMMANDS {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let help = good(&arguments);
        assert!(help.contains("Usage: hakken"), "{help}");
        let first = help.lines().next().unwrap_or_default();
        assert!(first.split(' ').count() > 3, "{first}");
        let mut lines = help.lines().peekable();
        while let Some(line) = lines.next() {
            let option = line.trim_start();
            if !option.starts_with("--") && !option.starts_with("-h") {
                continue;
            }
            // The words stand behind the option or below it.
            let has_words = option.split("  ").filter(|part| !part.trim().is_empty()).count() > 1
                || lines.peek().is_some_and(|next| !next.trim().is_empty());
            assert!(has_words, "{command:?}: {option} is not explained");
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_mistake_of_use() {
    assert_eq!(run(&["sell"]).status.code(), Some(2));
    assert_eq!(run(&["demo", "--buyers", "0"]).status.code(), Some(2));
    assert_eq!(run(&["events", "--after", "soon"]).status.code(), Some(2));
}

#[test]
fn the_schema_is_printed_as_it_is_committed() {
    let committed = include_str!("../../api/schema.graphql");
    assert_eq!(good(&["schema"]).trim_end(), committed.trim_end());
}
