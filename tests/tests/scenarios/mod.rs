//! Scenarios: the rules as scripts, in `tests/scenarios/*.txt`, played to the engine.

use std::path::{Path, PathBuf};

use hakken_tests::scenario::{EngineStage, Line, Stage, play};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

macro_rules! scenarios {
    ($($topic:ident),* $(,)?) => {
        const TOPICS: &[&str] = &[$(stringify!($topic)),*];
        $(
            #[tokio::test(start_paused = true)]
            async fn $topic() {
                let file = folder().join(concat!(stringify!($topic), ".txt"));
                assert!(play(&file, EngineStage::new).await > 0);
            }
        )*
    };
}

scenarios!(holds, places, orders, late_money, money_back, tickets);

#[test]
fn every_file_of_scenarios_is_played() {
    let files = std::fs::read_dir(folder()).unwrap();
    let mut found: Vec<String> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut played: Vec<_> = TOPICS.iter().map(ToString::to_string).collect();
    played.sort();
    assert_eq!(found, played);
}

/// What it answers stands here: the same answer each time but for `changing`, and one event for
/// each command but two for `twice`.
#[derive(Default)]
struct Parrot {
    commands: u64,
    events: u64,
}

impl Stage for Parrot {
    async fn command(&mut self, line: &Line, _key: &str) -> Result<String, String> {
        self.commands += 1;
        let again = self.commands.is_multiple_of(2);
        self.events += u64::from(!again || line.verb == "twice");
        match line.verb.as_str() {
            "unknown" => Err("there is no such verb".to_owned()),
            "changing" if again => Ok("other".to_owned()),
            _ => Ok("done".to_owned()),
        }
    }

    async fn question(&mut self, _line: &Line) -> Result<String, String> {
        Ok("free".to_owned())
    }

    async fn happening(&mut self, _line: &Line) -> Result<String, String> {
        Ok("quiet".to_owned())
    }

    async fn events(&mut self) -> u64 {
        self.events
    }

    async fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

async fn complaint(script: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let path = file.path().to_owned();
    let played = tokio::spawn(async move { play(&path, async || Parrot::default()).await });
    let panic = played.await.expect_err("the script must be told to be wrong").into_panic();
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[tokio::test]
async fn a_wrong_line_is_told_with_its_number_and_what_came_instead() {
    let wrong =
        complaint("= One\nhold H1 -> done\n\n? seats -> taken\ntick 1s -> expired H1\n").await;
    assert!(wrong.contains(":4: One\n  ? seats\n  expected: taken\n  got:      free"), "{wrong}");
    assert!(
        wrong.contains(":5: One\n  tick 1s\n  expected: expired H1\n  got:      quiet"),
        "{wrong}"
    );
    assert!(!wrong.contains(":2:"), "{wrong}");
}

#[tokio::test]
async fn a_command_that_is_not_idempotent_is_told() {
    let wrong = complaint("= One\nchanging -> done\n").await;
    assert!(wrong.contains("done, and other when asked again with the same key"), "{wrong}");
    let wrong = complaint("= One\ntwice -> done\n").await;
    assert!(wrong.contains("done, and 1 more events when asked again"), "{wrong}");
}

#[tokio::test]
async fn a_mistake_in_a_script_is_told() {
    let wrong = complaint("= One\nunknown -> done\n").await;
    assert!(wrong.contains("(a mistake in the script) there is no such verb"), "{wrong}");
    assert!(complaint("= One\nhold H1\n").await.contains("line 2 has no `->`"));
    assert!(complaint("hold H1 -> done\n").await.contains("line 1 stands before any `=`"));
    assert!(complaint("= One\n").await.contains("\"One\" has no lines"));
}
