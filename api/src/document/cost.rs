//! What an operation costs, before it is carried out: how many objects it may bring, with what
//! each field is known to take. Most of it is known with the document; what depends on the values
//! of variables, the sizes of pages, is worked out each time.

use async_graphql::{Value, Variables, parser::types::OperationType};

use super::{
    ast::{Field, Is, Operation, Selection, Set},
    rules::Scope,
    schema_size,
    types::{Base, OutField, TypeId},
    uses::{self, Uses},
    work::{Checked, INVALID, Limit, Refusal, Work},
};

/// Elements of a page when nothing is said.
const PAGE: u64 = 20;
/// Most elements of a page: whoever asks for more is refused by the field.
const MAX_PAGE: u64 = 100;
/// Elements of a list that has no pages: nobody knows.
const LIST: u64 = 5;
/// What a mutation costs for itself: it is made durable.
const MUTATION: u64 = 10;
/// What a question about the schema costs.
const SCHEMA: u64 = 100;
/// What a part of an answer costs that grows with a hall.
const LARGE: u64 = 100;
/// What an answer about the past costs: events are read and folded for it.
const PAST: u64 = 10_000;
/// Most values of one answer: at less than a microsecond for each, 50 ms.
const MAX_VALUES: u64 = 50_000;
/// Most values of what one answer tells of the schema: some times what tools ask for.
const MAX_SCHEMA_VALUES: u64 = 100_000;
/// Most parts of one answer that grow with a hall: each can have some megabytes.
const MAX_LARGE: u64 = 8;

/// Fields whose values grow with a hall or with the schema, by the type that has them.
const LARGE_FIELDS: [(&str, &str); 4] =
    [("Availability", "seats"), ("SeatMap", "json"), ("SeatMap", "sections"), ("_Service", "sdl")];
/// Fields that tell events as they are stored, some of which have a whole map. A page of events is
/// bounded in bytes, so that they count once for a page, however many elements it has.
const EVENT_FIELDS: [(&str, &str); 2] = [("Event", "data"), ("Event", "raw")];
/// Fields that fold a whole history, or maps one after the other, if they are asked for the past.
const PAST_FIELDS: [(&str, &str); 3] =
    [("Query", "availability"), ("Query", "hold"), ("Query", "venue")];
/// Fields that bring a whole map into memory, whatever is told of it.
const MAP_FIELDS: [(&str, &str); 2] = [("Show", "seatMap"), ("Venue", "seatMap")];

/// What an answer may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// In points: about one for an object.
    pub(crate) cost: u64,
    /// Scalars and objects.
    values: u64,
    /// The same of the schema.
    pub(super) schema_values: u64,
    /// Parts that grow with a hall.
    large: u64,
    /// Parts of the same size that a whole page has together.
    of_page: u64,
}

impl Charge {
    fn plus(self, other: Self) -> Self {
        Self {
            cost: self.cost.saturating_add(other.cost),
            values: self.values.saturating_add(other.values),
            schema_values: self.schema_values.saturating_add(other.schema_values),
            large: self.large.saturating_add(other.large),
            of_page: self.of_page.saturating_add(other.of_page),
        }
    }

    fn times(self, count: u64) -> Self {
        Self {
            cost: self.cost.saturating_mul(count),
            values: self.values.saturating_mul(count),
            schema_values: self.schema_values.saturating_mul(count),
            large: self.large.saturating_mul(count),
            of_page: self.of_page,
        }
    }
}

/// How many elements a list has.
#[derive(Debug, Clone)]
enum Count {
    Known(u64),
    /// The value of a variable, or its length; or else so many.
    Variable(String, u64),
}

impl Count {
    fn at(&self, variables: &Variables) -> u64 {
        match self {
            Self::Known(count) => *count,
            Self::Variable(name, otherwise) => match variables.get(name.as_str()) {
                Some(Value::Number(count)) => count.as_u64().unwrap_or(*otherwise),
                Some(Value::List(values)) => values.len() as u64,
                _ => *otherwise,
            },
        }
    }
}

/// How an operation's cost is worked out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    fixed: Charge,
    /// Lists of which the variables say how long they are, with what each element takes.
    lists: Vec<(Count, Self)>,
    /// Variables that stand in several places.
    several: Vec<(String, u64)>,
}

impl Plan {
    fn charge(&self, variables: &Variables) -> Charge {
        self.lists.iter().fold(self.fixed, |sum, (count, each)| {
            sum.plus(each.charge(variables).times(count.at(variables).min(MAX_PAGE)))
        })
    }

    /// What the operation costs with these variables, if its answer may be so large.
    pub(super) fn checked(&self, variables: &Variables) -> Result<Charge, Refusal> {
        uses::check(&self.several, variables)?;
        let charge = self.charge(variables);
        for (name, most, found, what) in [
            ("ANSWER_VALUES", MAX_VALUES, charge.values, "values"),
            ("SCHEMA_VALUES", MAX_SCHEMA_VALUES, charge.schema_values, "values of the schema"),
            (
                "ANSWER_LARGE_PARTS",
                MAX_LARGE,
                charge.large.saturating_add(charge.of_page),
                "seat maps, lists of all seats or pages of whole events",
            ),
        ] {
            if found > most {
                let message = format!(
                    "The answer could have {found} {what}; at most {most} are allowed. Ask for \
                     smaller pages, or for less of each element."
                );
                let limit = Some(Limit { name, most, found });
                return Err(Refusal { limit, ..Refusal::new(INVALID, message) });
            }
        }
        Ok(charge)
    }

    fn add(&mut self, count: Count, each: Self) {
        match count {
            Count::Known(count) if each.lists.is_empty() => {
                self.fixed = self.fixed.plus(each.fixed.times(count));
            }
            Count::Known(1) => {
                self.fixed = self.fixed.plus(each.fixed);
                self.lists.extend(each.lists);
            }
            count => self.lists.push((count, each)),
        }
    }
}

/// What an answer has cost: as the plan has it, with the objects that came.
pub(super) fn actual(kind: OperationType, data: &Value) -> u64 {
    let Value::Object(roots) = data else { return 1 };
    let each = if kind == OperationType::Mutation { MUTATION } else { 0 };
    1 + roots.values().map(|value| each + objects(value)).sum::<u64>()
}

fn objects(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => 1 + fields.values().map(objects).sum::<u64>(),
        Value::List(values) => values.iter().map(objects).sum(),
        _ => 0,
    }
}

struct Planner<'a, 'w> {
    scope: Scope<'a>,
    work: &'w mut Work,
    operation: &'a Operation<'a>,
    uses: Uses<'a>,
}

/// Of an operation that was checked.
pub(super) fn plan<'a>(
    scope: Scope<'a>,
    operation: &'a Operation<'a>,
    work: &mut Work,
) -> Checked<Plan> {
    let mut planner = Planner { scope, work, operation, uses: Uses::default() };
    let mut plan = Plan::default();
    if let Some(root) = scope.types.root(operation.kind) {
        planner.set(&operation.set, root, None, &mut plan)?;
    }
    // A question costs something even if it brings nothing.
    plan.fixed.cost += 1;
    plan.several = planner.uses.several();
    Ok(plan)
}

impl<'a> Planner<'a, '_> {
    /// `page` is how long the lists of this object are, if somebody said it.
    fn set(
        &mut self,
        set: &'a Set<'a>,
        parent: TypeId,
        page: Option<&Count>,
        plan: &mut Plan,
    ) -> Checked {
        self.work.step(set.items.len())?;
        let types = self.scope.types;
        for item in &set.items {
            match item {
                Selection::Field(field) => self.field(field, parent, page, plan)?,
                Selection::Inline(inline) => {
                    let on = inline.on.and_then(|on| types.find(on.text)).unwrap_or(parent);
                    self.set(&inline.set, on, page, plan)?;
                }
                Selection::Spread(spread) => {
                    if let Some(at) = self.scope.graph.fragment(spread.name.text) {
                        let fragment = &self.scope.ast.fragments[at];
                        let on = types.find(fragment.on.text).unwrap_or(parent);
                        self.set(&fragment.set, on, page, plan)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &'a Field<'a>,
        parent: TypeId,
        page: Option<&Count>,
        plan: &mut Plan,
    ) -> Checked {
        let (types, name) = (self.scope.types, field.name.text);
        let Some(known) = types.field(parent, name) else { return Ok(()) };
        self.uses.count(&field.arguments, self.work)?;
        plan.fixed.values += 1;
        let is_root = types.root(OperationType::Mutation) == Some(parent);
        plan.fixed.cost += if is_root { MUTATION } else { 0 };
        let at = (types.name(parent), name);
        let of_past = field.arguments.iter().any(|given| given.name.text == "asOf");
        if LARGE_FIELDS.contains(&at) || (of_past && PAST_FIELDS.contains(&at)) {
            plan.fixed.large += 1;
            plan.fixed.cost += LARGE;
        }
        if of_past {
            plan.fixed.cost += PAST;
        }
        plan.fixed.of_page += u64::from(EVENT_FIELDS.contains(&at));
        let Some(set) = &field.set else { return Ok(()) };
        if ["__schema", "__type"].contains(&name) {
            plan.fixed.cost += SCHEMA;
            plan.fixed.schema_values += schema_size::values(self.scope, field, self.work)?;
            return Ok(());
        }
        let mut each = Plan::default();
        each.fixed.cost = 1;
        let is_list = matches!(known.of.base, Base::List(_));
        let said = self.said(field, known);
        let inner = if is_list { None } else { said.as_ref() };
        self.set(set, known.of.named(), inner, &mut each)?;
        if MAP_FIELDS.contains(&at) && each.fixed.large == 0 {
            each.fixed.large = 1;
            each.fixed.cost += LARGE;
        }
        let count = match (is_list, said, page) {
            (false, _, _) => Count::Known(1),
            (true, Some(said), _) => said,
            (true, None, Some(page)) => page.clone(),
            (true, None, None) => Count::Known(LIST),
        };
        plan.add(count, each);
        Ok(())
    }

    /// How many elements the arguments of a field ask for, if they can.
    fn said(&self, field: &'a Field<'a>, known: &'a OutField) -> Option<Count> {
        let pages = known.arguments.iter().find(|input| input.name == "first");
        let has_ids = known.arguments.iter().any(|input| input.name == "ids");
        if pages.is_none() && !has_ids {
            return None;
        }
        let given = field.arguments.iter();
        let mut given = given.filter(|given| ["first", "last", "ids"].contains(&given.name.text));
        let Some(given) = given.next() else { return Some(Count::Known(PAGE)) };
        Some(match &given.value.is {
            Is::Int(text) => Count::Known(text.parse().unwrap_or(PAGE).min(MAX_PAGE)),
            Is::List(values) => Count::Known(values.len() as u64),
            Is::Variable(name) => {
                let mut variables = self.operation.variables.iter();
                let default = variables.find(|variable| variable.name.text == *name);
                let default = default.and_then(|variable| variable.default.as_ref());
                let otherwise = match default.map(|default| &default.is) {
                    Some(Is::Int(text)) => text.parse().unwrap_or(PAGE),
                    _ => PAGE,
                };
                Count::Variable((*name).to_owned(), otherwise)
            }
            _ => Count::Known(PAGE),
        })
    }
}
