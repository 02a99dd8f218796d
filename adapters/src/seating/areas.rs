//! Areas of a pretix seating plan: they only decorate, but one of them may be the stage.

use super::{
    At, ImportError,
    json::Node,
    pretix::{Offset, position, position_of, texts},
    walk::{Fields, shortened},
};

/// Checks an area; the middle of it, within its zone, if it is a stage.
pub(super) fn area(at: &At, node: &Node) -> Result<Option<Offset>, ImportError> {
    const AREA: &[&str] = &[
        "color",
        "border_color",
        "rotation",
        "position",
        "uuid",
        "shape",
        "polygon",
        "rectangle",
        "ellipse",
        "circle",
        "text",
    ];
    let fields = at.object(node, AREA)?;
    texts(at, fields, &["color", "border_color", "uuid"])?;
    let rotation = match fields.optional("rotation") {
        Some(node) => at.property("rotation").number(node)?,
        None => 0.0,
    };
    let origin = position_of(at, fields)?;
    let shape = match fields.optional("shape") {
        Some(node) => at.property("shape").text(node)?,
        None => "text",
    };
    let polygon = polygon(at, fields)?;
    let rectangle = rectangle(at, fields)?;
    round(at, fields)?;
    let text = caption(at, fields)?;
    let middle = match shape {
        "polygon" => polygon,
        "rectangle" => rectangle,
        "ellipse" | "circle" => Some(Offset::default()),
        "text" => text.map(|(_, place)| place),
        other => {
            return Err(ImportError::NotOneOf {
                place: at.property("shape").to_string(),
                found: shortened(other),
                allowed: "polygon, rectangle, ellipse, circle or text",
            });
        }
    };
    let middle = origin + turned(middle.unwrap_or_default(), rotation);
    Ok(text.filter(|(words, _)| is_stage(words)).map(|_| middle))
}

fn turned(offset: Offset, degrees: f64) -> Offset {
    let (sin, cos) = degrees.to_radians().sin_cos();
    Offset { x: offset.x * cos - offset.y * sin, y: offset.x * sin + offset.y * cos }
}

/// The mean of its points.
fn polygon(at: &At, fields: Fields) -> Result<Option<Offset>, ImportError> {
    let Some(node) = fields.optional("polygon") else { return Ok(None) };
    let at = at.property("polygon");
    let inner = at.object(node, &["points"])?;
    let list = at.property("points");
    let points = list.list(inner.required(&at, "points")?)?;
    let mut sum = Offset::default();
    for (index, node) in points.iter().enumerate() {
        sum = sum + position(&list.item(index), node)?;
    }
    let count = points.len().max(1) as f64;
    Ok(Some(Offset { x: sum.x / count, y: sum.y / count }))
}

/// Its middle, from its upper left corner.
fn rectangle(at: &At, fields: Fields) -> Result<Option<Offset>, ImportError> {
    let Some(node) = fields.optional("rectangle") else { return Ok(None) };
    let at = at.property("rectangle");
    let inner = at.object(node, &["width", "height"])?;
    let number = |name| at.property(name).number(inner.required(&at, name)?);
    Ok(Some(Offset { x: number("width")? / 2.0, y: number("height")? / 2.0 }))
}

/// Ellipses and circles stand around their position.
fn round(at: &At, fields: Fields) -> Result<(), ImportError> {
    if let Some(node) = fields.optional("ellipse") {
        let at = at.property("ellipse");
        let inner = at.object(node, &["radius"])?;
        position(&at.property("radius"), inner.required(&at, "radius")?)?;
    }
    if let Some(node) = fields.optional("circle") {
        let at = at.property("circle");
        let inner = at.object(node, &["radius"])?;
        at.property("radius").number(inner.required(&at, "radius")?)?;
    }
    Ok(())
}

/// What is written in the area, and where.
fn caption<'n>(at: &At, fields: Fields<'n>) -> Result<Option<(&'n str, Offset)>, ImportError> {
    let Some(node) = fields.optional("text") else { return Ok(None) };
    let at = at.property("text");
    let inner = at.object(node, &["text", "color", "size", "position"])?;
    texts(&at, inner, &["color"])?;
    if let Some(size) = inner.optional("size") {
        at.property("size").number(size)?;
    }
    let words = at.property("text").text(inner.required(&at, "text")?)?;
    let place = position(&at.property("position"), inner.required(&at, "position")?)?;
    Ok(Some((words, place)))
}

fn is_stage(words: &str) -> bool {
    const STAGE: [&str; 6] = ["stage", "bühne", "舞台", "ステージ", "scène", "сцена"];
    const NOT_STAGE: [&str; 4] = ["backstage", "hinterbühne", "舞台裏", "バックステージ"];
    let words = words.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    let scene = words.split(|c: char| !c.is_alphabetic()).any(|word| word == "scene");
    (says(&STAGE) || scene) && !says(&NOT_STAGE)
}
