//! The language of scenarios: scripts without a Rust type in them. A script is played to a
//! [`Stage`], which may be the engine in this process or one behind an API.
//!
//! ```text
//! = A hold ends by itself
//! show  S1 A1-3          -> listed
//! hold  H1 S1 A1 A2      -> held
//! hold  H2 S1 A2         -> rejected seat_taken
//! tick  601s             -> expired H1
//! ? availability S1      -> A1 free, A2 free, A3 free
//! ```
//!
//! A line that begins with `=` names a scenario, which begins with nothing. `?` asks a read
//! model. Some words happen to the engine (`tick`, `restart`, `provider`); every other line is a
//! command, and is given a second time right away with the same key: it must give the same
//! answer, and bring no event.

mod engine_stage;
mod script;

use std::{fmt::Write, future::Future, path::Path};

pub use engine_stage::{EngineStage, desk_refusal, refusal};
pub use script::{Line, Scenario, Sort, read};

/// Whoever a script is played to. Names come in as the script has them (`S1`, `H1`, `O1/2`), and
/// answers go out in its words. An `Err` is a mistake in the script itself.
pub trait Stage {
    /// Gives a command with an idempotency key.
    fn command(&mut self, line: &Line, key: &str) -> impl Future<Output = Result<String, String>>;

    /// Asks a read model, once it shows everything that has happened.
    fn question(&mut self, line: &Line) -> impl Future<Output = Result<String, String>>;

    /// Something happens to the engine: time passes, it ends and starts again.
    fn happening(&mut self, line: &Line) -> impl Future<Output = Result<String, String>>;

    /// How many events are recorded, once every process has come to rest.
    fn events(&mut self) -> impl Future<Output = u64>;

    /// Says what is wrong when the last line was played.
    fn end(&mut self) -> impl Future<Output = Result<(), String>>;
}

/// Plays every scenario of a file, each to a stage of its own, and panics with everything that
/// was otherwise than the script says. Returns how many lines were played.
pub async fn play<S: Stage>(file: &Path, mut stage: impl AsyncFnMut() -> S) -> usize {
    let shown = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
    let scenarios = read(&text).unwrap_or_else(|wrong| panic!("{shown}: {wrong}"));
    let mut wrong = String::new();
    let mut lines = 0;
    for scenario in scenarios {
        let mut actor = stage().await;
        let title = &scenario.title;
        for line in &scenario.lines {
            lines += 1;
            if let Err(got) = play_line(&mut actor, line).await {
                let (number, text, expected) = (line.number, &line.text, &line.expected);
                let _ = writeln!(
                    wrong,
                    "{shown}:{number}: {title}\n  {text}\n  expected: {expected}\n  got:      {got}"
                );
            }
        }
        if let Err(got) = actor.end().await {
            let _ = writeln!(wrong, "{shown}: {title}: at its end {got}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    lines
}

/// Plays one line; says what came instead of what was expected.
async fn play_line<S: Stage>(stage: &mut S, line: &Line) -> Result<(), String> {
    let same = |got: String| if got == line.expected { Ok(()) } else { Err(got) };
    let mistake = |why: String| format!("(a mistake in the script) {why}");
    match line.sort {
        Sort::Question => same(stage.question(line).await.map_err(mistake)?),
        Sort::Happening => same(stage.happening(line).await.map_err(mistake)?),
        Sort::Command => {
            let key = format!("line-{}", line.number);
            let first = stage.command(line, &key).await.map_err(mistake)?;
            let events = stage.events().await;
            same(first.clone())?;
            let second = stage.command(line, &key).await.map_err(mistake)?;
            if second != first {
                return Err(format!("{first}, and {second} when asked again with the same key"));
            }
            match stage.events().await - events {
                0 => Ok(()),
                more => Err(format!("{first}, and {more} more events when asked again")),
            }
        }
    }
}
