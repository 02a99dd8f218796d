//! `hakken import`: a seat map from a file becomes a venue.

use anyhow::{Context, Result, bail};
use hakken_adapters::seating::{ImportOptions, parse, svg};
use hakken_domain::{
    names::{Category, Label, VenueId},
    seatmap::{Point, Pool, SeatMap},
    venue,
};

use super::print_line;
use crate::{cli, node::Node, tools::keys::offline_asker};

/// Runs it.
pub async fn run(options: cli::Import) -> Result<()> {
    let map = read(&options)?;
    print_line(&summary(&map));
    if let Some(file) = &options.picture {
        let picture = svg::render(&map, |_| svg::SeatColour::Free);
        std::fs::write(file, picture).with_context(|| format!("{}", file.display()))?;
        print_line(&format!("picture: {}", file.display()));
    }
    if options.check {
        return Ok(());
    }
    let Some(organizer) = options.organizer else {
        bail!("whose venue is it? Give --organizer, or --check to only look at the file");
    };
    let name: Label = options.name.clone().unwrap_or_else(|| map.name.clone());
    let node = Node::open_existing(&options.data).await?;
    let result = register(&node, organizer, name, map).await;
    node.close().await;
    print_line(&result?);
    Ok(())
}

async fn register(
    node: &Node,
    organizer: hakken_domain::names::OrganizerId,
    name: Label,
    map: SeatMap,
) -> Result<String> {
    let known = node.write.engine();
    let tenant = hakken_commands::engine::Tenant::Any;
    if known.read(tenant, organizer, |_, version| version).await? == 0 {
        bail!("there is no organizer {organizer}: register one first (`registerOrganizer`)");
    }
    // The same name and the same map again are the same venue.
    let contents = serde_json::to_string(&map)?;
    let key = hakken_domain::names::derived_ulid(&["import", name.as_str(), &contents]).to_string();
    let venue = VenueId::derived(&organizer.to_string(), &key);
    let command = venue::Command::RegisterVenue { name, seat_map: Box::new(map) };
    let asker = offline_asker(Some(organizer), &key);
    let receipt = node.write.desk().create(asker, venue, command).await?;
    let word = if receipt.repeated { "was imported before" } else { "is imported" };
    Ok(format!("venue venue_{venue} {word}, at position {}", receipt.position))
}

/// Reads and checks a file; nothing is kept if anything is wrong with it.
pub fn read(options: &cli::Import) -> Result<SeatMap> {
    let bytes = std::fs::read(&options.file)
        .with_context(|| format!("{} cannot be read", options.file.display()))?;
    let wheelchair: Vec<Category> =
        options.wheelchair.iter().map(|name| Category::new(name)).collect::<Result<_, _>>()?;
    let mut pools = Vec::new();
    for pool in &options.pools {
        let category = pool.category.as_deref().unwrap_or(pool.id.as_str());
        let category = Category::new(category)?;
        pools.push(Pool { id: pool.id.clone(), capacity: pool.capacity, category });
    }
    let import = ImportOptions {
        wheelchair_categories: (!wheelchair.is_empty()).then_some(wheelchair),
        pools,
        focus: options.focus.map(|(x, y)| Point { x: hundredths(x), y: hundredths(y) }),
    };
    parse(&bytes, &import).with_context(|| format!("{} is refused", options.file.display()))
}

/// Beyond the plane, its edge.
#[expect(clippy::cast_possible_truncation, reason = "the value was clamped to the range")]
fn hundredths(units: f64) -> i32 {
    (units * 100.0).round().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
}

/// What a map holds, for people.
pub fn summary(map: &SeatMap) -> String {
    let seats = map.seats().count();
    let wheelchair = map.seats().filter(|seat| seat.wheelchair).count();
    let rows: usize = map.sections.iter().map(|section| section.rows.len()).sum();
    let mut text = format!(
        "{}: {seats} seats ({wheelchair} wheelchair) in {rows} rows of {} sections",
        map.name,
        map.sections.len()
    );
    for section in &map.sections {
        let count: usize = section.rows.iter().map(|row| row.seats.len()).sum();
        text.push_str(&format!("\n  {}: {count} seats, {} rows", section.name, section.rows.len()));
    }
    for pool in &map.pools {
        text.push_str(&format!("\n  pool {}: {} places", pool.id, pool.capacity));
    }
    text
}
