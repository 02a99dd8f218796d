//! One step: some ask at once, each one of the processes, and every answer is judged.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use hakken_commands::desk::Desk;
use hakken_projections::{ALL, BuildError};

use super::{
    Simulation,
    call::{Answer, Call},
    coverage::Coverage,
    known::Before,
    mortal::{Death, Point},
    node::Node,
};

/// A call, and whom it is given to.
struct Asked {
    call: Call,
    node: usize,
    /// Not all ask at the same instant: some meet what others have set in motion.
    after: Duration,
    patience: Option<Duration>,
}

impl Asked {
    async fn give(&self, desk: &Desk) -> Answer {
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        self.call.give(desk).await
    }
}

impl Simulation {
    pub(super) async fn act(&mut self) -> Result<(), String> {
        let asked = self.choose();
        let before = self.known.before();
        let met: Vec<Coverage> = self.nodes.iter().map(|node| node.dial().met.clone()).collect();
        let answers = join_all(asked.iter().map(|asked| {
            let node = &self.nodes[asked.node];
            let given = node.life.unless_dead(asked.give(node.world.desk()));
            async move {
                let Some(patience) = asked.patience else {
                    return given.await.unwrap_or(Answer::Died);
                };
                match tokio::time::timeout(patience, given).await {
                    Ok(answer) => answer.unwrap_or(Answer::Died),
                    Err(_) => Answer::NotAwaited,
                }
            }
        }))
        .await;
        for (Asked { call, node, .. }, answer) in asked.iter().zip(&answers) {
            self.count(call, answer);
            let at = answer.position().map_or(String::new(), |at| format!(" at {at}"));
            let word = answer.word();
            self.note(format!("node {node}: {} ({}): {word}{at}", call.name, call.key));
        }
        self.count_pairs(&asked, &answers, &met);
        if self.nodes.iter().any(|node| node.dial().after_fatal > 1) {
            return Err("the store was written again after it had failed for good".to_owned());
        }
        self.look().await?;
        self.judge(&asked, &answers, &before)?;
        if self.step.is_multiple_of(8) {
            self.verify_one().await?;
        }
        Ok(())
    }

    fn choose(&mut self) -> Vec<Asked> {
        let crowd = if self.chance.percent(6) { 40 } else { self.chance.between(1, 7) };
        let mut asked = Vec::new();
        for _ in 0..crowd {
            let call = match self.options.only_holds {
                true => self.actors.next_hold(&self.known),
                false => self.actors.next(&self.known),
            };
            let node = self.chance.below(self.nodes.len());
            let patience = (self.options.faults && self.chance.percent(6))
                .then(|| Duration::from_millis(self.chance.between(0, 30)));
            if !self.options.only_holds && self.chance.percent(6) {
                self.coverage.saw("fault doubled call");
                let node = self.chance.below(self.nodes.len());
                let after = self.moment();
                asked.push(Asked { call: call.clone(), node, after, patience: None });
            }
            let after = self.moment();
            asked.push(Asked { call, node, after, patience });
        }
        if self.options.only_holds {
            return asked;
        }
        let mut late = self.actors.rivals(&self.known);
        if self.step * 5 > self.options.steps * 4 && self.chance.percent(20) {
            late.push(self.actors.end_a_show(&self.known));
        }
        for call in late {
            let node = self.chance.below(self.nodes.len());
            let after = Duration::from_millis(self.chance.between(0, 1));
            asked.push(Asked { call, node, after, patience: None });
        }
        asked
    }

    fn moment(&mut self) -> Duration {
        let waits = self.chance.percent(50);
        Duration::from_millis(if waits { self.chance.between(1, 40) } else { 0 })
    }

    fn count(&mut self, call: &Call, answer: &Answer) {
        self.coverage.saw(format!("op {}", call.name));
        match answer {
            Answer::Refused(code) => self.coverage.saw(format!("refusal {code}")),
            Answer::Trouble(what) => self.coverage.saw(format!("trouble {what}")),
            Answer::NotAwaited => self.coverage.saw("trouble not awaited"),
            Answer::Died => self.coverage.saw("trouble process died"),
            Answer::Done(receipt) if receipt.repeated => self.coverage.saw("answer repeated"),
            Answer::Done(receipt) if receipt.events.is_empty() => {
                self.coverage.saw("answer so already");
            }
            Answer::Done(_) | Answer::Code(..) => self.coverage.saw("answer done"),
        }
    }

    /// What went wrong at a process since `before`, or was so.
    pub(super) fn met_by(&self, node: &Node, before: &Coverage) -> BTreeSet<&'static str> {
        let now = node.dial().met.clone();
        let mut met: BTreeSet<_> =
            self.under_way.iter().map(String::as_str).filter_map(in_short).collect();
        met.extend(now.since(before).filter_map(in_short));
        let died = node.life.died().map(|(point, death)| crash(point, death));
        met.extend(died.as_deref().and_then(in_short));
        if node.since > 0 && node.since + 2 > self.step {
            met.insert("just started again");
        }
        if self.nodes.len() > 1 {
            met.insert("two processes");
        }
        if self.options.sole_writer {
            met.insert("sole writer");
        }
        met
    }

    /// What went wrong while what was under way, and what was under way together.
    fn count_pairs(&mut self, asked: &[Asked], answers: &[Answer], met: &[Coverage]) {
        let each = self.nodes.iter().zip(met);
        let faults: Vec<BTreeSet<&'static str>> =
            each.map(|(node, before)| self.met_by(node, before)).collect();
        for (Asked { call, node, .. }, answer) in asked.iter().zip(answers) {
            for fault in &faults[*node] {
                self.coverage.met(call.name, fault);
                if let Answer::Refused(code) = answer {
                    self.coverage.met(&format!("refusal {code}"), fault);
                }
            }
        }
        let subjects: Vec<_> =
            asked.iter().map(|asked| self.actors.subject(&asked.call, &self.known)).collect();
        for (at, one) in asked.iter().enumerate() {
            for (other, subject) in asked.iter().zip(&subjects).skip(at + 1) {
                if subject.is_none() || *subject != subjects[at] {
                    continue;
                }
                match one.call.key == other.call.key {
                    true => self.coverage.together(one.call.name, "itself, doubled"),
                    false => self.coverage.together(one.call.name, other.call.name),
                }
            }
        }
    }

    fn judge(
        &mut self,
        asked: &[Asked],
        answers: &[Answer],
        before: &Before,
    ) -> Result<(), String> {
        for (Asked { call, .. }, answer) in asked.iter().zip(answers) {
            if let Answer::Done(receipt) = answer {
                for event in &receipt.events {
                    let there = self.ids.get(event.position.0 as usize - 1) == Some(&event.id);
                    if !there {
                        return Err(format!("{} was acknowledged and is not there", call.key));
                    }
                }
            }
            self.known.judge(call, answer, before)?;
            self.actors.hear(call, answer, &self.known)?;
        }
        Ok(())
    }

    /// In the middle of everything, a read model is what the events say.
    async fn verify_one(&mut self) -> Result<(), String> {
        let name = ALL[self.chance.below(ALL.len())].name;
        match self.read.verify(name).await {
            Ok(report) if report.equal() => self.coverage.saw("read verified"),
            Ok(report) => {
                let difference = report.comparison.first_difference.unwrap_or_default();
                return Err(format!("{name} is not what the events say: {difference}"));
            }
            // The rows or the events could not be reached, or a rebuild is under way.
            Err(BuildError::Interrupted(_) | BuildError::UnderWay(_)) => {
                self.coverage.saw("read not verified");
            }
            Err(error) => return Err(format!("{name}: {error}")),
        }
        Ok(())
    }
}

/// What a process died of.
pub(super) fn crash(point: Point, death: Death) -> String {
    let when = match death {
        Death::Before => "before",
        Death::Torn(_) => "within",
        Death::After => "after",
    };
    format!("crash {when} {}", point.port)
}

/// What went wrong, with everything of its sort.
fn in_short(what: &str) -> Option<&'static str> {
    let (sort, name) = what.split_once(' ')?;
    Some(match (sort, name) {
        ("crash", name) if name.starts_with("before") => "crash before a call",
        ("crash", name) if name.starts_with("within") => "crash within an append",
        ("crash", _) => "crash after a call",
        ("fault", "failed append" | "slowly failed append") => "failed append",
        ("fault", "lost answer" | "slowly lost answer") => "lost answer",
        ("fault", "slow append") => "slow append",
        ("fault", "slow read") => "slow read",
        ("fault", "failed read") => "failed read",
        ("fault", "fatal append") => "store failed for good",
        ("time", "backwards") => "clock back",
        ("time", _) => "clock on",
        ("provider", _) => "provider fails",
        ("read", "rebuild") => "rebuild",
        ("read", _) => "read side fails",
        _ => return None,
    })
}
