//! Which names a document gives and uses: operations, fragments, and which fragment contains
//! which. Everything that follows fragments relies on there being no circle among them.

use std::collections::{HashMap, HashSet};

use super::{
    ast::{Ast, At, Selection, Set},
    work::{Checked, Refusal, Work},
};

/// Most fragments inside each other.
pub(super) const MAX_CHAIN: usize = 32;

/// What contains what.
pub(super) struct Graph<'a> {
    by_name: HashMap<&'a str, usize>,
    /// Which fragments each operation spreads.
    operations: Vec<Vec<usize>>,
    /// Which fragments each fragment spreads.
    fragments: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Of a document. Without a circle, or it stops; unknown and repeated names are found wrong.
    pub(super) fn new(ast: &'a Ast<'a>, work: &mut Work) -> Checked<Self> {
        unique_operations(ast, work)?;
        let mut by_name = HashMap::new();
        for (at, fragment) in ast.fragments.iter().enumerate() {
            let name = fragment.name;
            if let Some(first) = by_name.insert(name.text, at) {
                by_name.insert(name.text, first);
                let places = [ast.fragments[first].name.at, name.at];
                work.wrong(&places, format!("There are two fragments named {:?}.", name.text))?;
            }
        }
        let mut graph = Self { by_name, operations: Vec::new(), fragments: Vec::new() };
        for fragment in &ast.fragments {
            let spreads = graph.spreads(&fragment.set, work)?;
            graph.fragments.push(spreads);
        }
        for operation in &ast.operations {
            let spreads = graph.spreads(&operation.set, work)?;
            graph.operations.push(spreads);
        }
        graph.check_circles(ast, work)?;
        Ok(graph)
    }

    pub(super) fn fragment(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The fragments that an operation uses, in whatever depth.
    pub(super) fn used(&self, operation: usize, work: &mut Work) -> Checked<Vec<usize>> {
        let mut seen: HashSet<usize> = self.operations[operation].iter().copied().collect();
        let mut found: Vec<usize> = self.operations[operation].clone();
        let mut at = 0;
        while let Some(fragment) = found.get(at) {
            let inner = &self.fragments[*fragment];
            work.step(1 + inner.len())?;
            found.extend(inner.iter().filter(|inner| seen.insert(**inner)));
            at += 1;
        }
        Ok(found)
    }

    /// Every fragment must be used by some operation.
    pub(super) fn check_unused(&self, ast: &Ast<'_>, work: &mut Work) -> Checked {
        let mut used = HashSet::new();
        for operation in 0..ast.operations.len() {
            used.extend(self.used(operation, work)?);
        }
        for (at, fragment) in ast.fragments.iter().enumerate() {
            if !used.contains(&at) && self.fragment(fragment.name.text) == Some(at) {
                let name = fragment.name;
                work.wrong(&[name.at], format!("The fragment {:?} is never used.", name.text))?;
            }
        }
        Ok(())
    }

    /// Which fragments a selection set spreads by itself, each once.
    fn spreads(&self, set: &Set<'_>, work: &mut Work) -> Checked<Vec<usize>> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut waiting = vec![set];
        while let Some(set) = waiting.pop() {
            work.step(1 + set.items.len())?;
            for item in &set.items {
                match item {
                    Selection::Field(field) => waiting.extend(&field.set),
                    Selection::Inline(inline) => waiting.push(&inline.set),
                    Selection::Spread(spread) => match self.fragment(spread.name.text) {
                        Some(fragment) if seen.insert(fragment) => found.push(fragment),
                        Some(_) => {}
                        None => {
                            let message = format!("There is no fragment {:?}.", spread.name.text);
                            work.wrong(&[spread.name.at], message)?;
                        }
                    },
                }
            }
        }
        Ok(found)
    }

    /// Takes away fragments that contain none until none is left: what stays is a circle, or
    /// contains one.
    fn check_circles(&self, ast: &Ast<'_>, work: &mut Work) -> Checked {
        let mut height = vec![0_usize; self.fragments.len()];
        let mut missing: Vec<usize> = self.fragments.iter().map(Vec::len).collect();
        let mut containers = vec![Vec::new(); self.fragments.len()];
        for (outer, inner) in self.fragments.iter().enumerate() {
            work.step(1 + inner.len())?;
            inner.iter().for_each(|inner| containers[*inner].push(outer));
        }
        let mut ready: Vec<usize> = (0..missing.len()).filter(|at| missing[*at] == 0).collect();
        while let Some(inner) = ready.pop() {
            work.step(1 + containers[inner].len())?;
            for outer in &containers[inner] {
                height[*outer] = height[*outer].max(height[inner] + 1);
                missing[*outer] -= 1;
                if missing[*outer] == 0 {
                    ready.push(*outer);
                }
            }
        }
        if let Some(circle) = missing.iter().position(|missing| *missing > 0) {
            let name = ast.fragments[circle].name;
            let message = format!("The fragment {:?} contains itself.", name.text);
            work.wrong(&[name.at], message)?;
            return Err(super::work::Stop);
        }
        let chain = height.iter().max().map_or(0, |height| height + 1);
        if chain > MAX_CHAIN {
            let what = "fragments inside each other";
            return work.stop(Refusal::limit("FRAGMENT_CHAIN", MAX_CHAIN, chain, what));
        }
        Ok(())
    }
}

fn unique_operations(ast: &Ast<'_>, work: &mut Work) -> Checked {
    let mut names: HashMap<&str, At> = HashMap::new();
    for operation in &ast.operations {
        match operation.name {
            Some(name) => {
                if let Some(first) = names.insert(name.text, name.at) {
                    let message = format!("There are two operations named {:?}.", name.text);
                    work.wrong(&[first, name.at], message)?;
                }
            }
            None if ast.operations.len() > 1 => {
                let message = "An operation without a name must be the only one.".to_owned();
                work.wrong(&[operation.at], message)?;
            }
            None => {}
        }
    }
    Ok(())
}
