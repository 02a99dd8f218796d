//! What operators do with the read models, and what befalls the rows of a rebuild.

use std::time::Duration;

use hakken_projections::{
    ALL, BuildError,
    rows::{Purpose, Query, RowStore, TableChanges, Value},
};

use super::Simulation;

impl Simulation {
    /// An operator does something with the builds of a read model.
    pub(super) async fn operate(&mut self, projection: &'static str) -> Result<(), String> {
        match self.chance.below(8) {
            0 | 1 => {
                let begun = self.read.start_swap_back(&[projection]);
                self.operated("read swapped back", begun)
            }
            2 | 3 => {
                let shows = self.known.shows.len();
                if shows == 0 {
                    return Ok(());
                }
                let show = self.known.shows[self.chance.below(shows)].id;
                let begun = self.read.start_rebuild_show(&[projection], show);
                self.operated("read rebuilt a show", begun)
            }
            4 => {
                let cancelled = self.read.cancel_rebuild(projection).await;
                let cancelled = cancelled.map_err(|error| error.to_string())?;
                self.operated("read cancelled", if cancelled { Ok(()) } else { refused() })
            }
            5 => {
                let resumed = self.read.resume_rebuild(projection);
                let resumed = resumed.map_err(|error| error.to_string())?;
                self.operated("read rebuild resumed", if resumed { Ok(()) } else { refused() })
            }
            _ => self.damage(projection).await,
        }
    }

    /// It was done, or there was nothing to do it to.
    pub(super) fn operated(
        &mut self,
        what: &str,
        done: Result<(), BuildError>,
    ) -> Result<(), String> {
        match done {
            Ok(()) => {
                self.saw(what);
                Ok(())
            }
            Err(
                BuildError::UnderWay(_) | BuildError::NoFormer(_) | BuildError::NotByShow { .. },
            ) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A row that no event speaks of comes to be in what is being rebuilt, as a failing disk or
    /// memory may have it.
    async fn damage(&mut self, projection: &'static str) -> Result<(), String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let begun = self.read.start_rebuild(&[projection]);
        if begun.is_err() {
            return Ok(());
        }
        self.read.pause_rebuild(projection).map_err(|error| words(&error))?;
        // The rebuild makes its tables, and hears of the pause.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let builds = self.rows.builds().await.map_err(|error| words(&error))?;
        let of = |purpose| {
            builds.iter().find(|build| build.projection == projection && build.purpose == purpose)
        };
        let (Some(served), Some(rebuilt)) = (of(Purpose::Served), of(Purpose::Halted)) else {
            return Ok(());
        };
        let tables = ALL.iter().find(|each| each.name == projection).map_or(&[][..], |p| p.tables);
        for table in tables {
            let rows = self.rows.query(served.id, Query::all(table, None, 1)).await;
            let Some(mut row) = rows.map_err(|error| words(&error))?.pop() else { continue };
            row[0] = match &row[0] {
                Value::Text(_) => Value::text("damaged"),
                _ => Value::Int(i64::MAX),
            };
            let changes = vec![TableChanges { table, upserts: vec![row], deletes: Vec::new() }];
            let at = rebuilt.checkpoint;
            let damaged = self.rows.commit(rebuilt.id, &changes, at.position, at).await;
            damaged.map_err(|error| words(&error))?;
            self.saw("read damaged");
            break;
        }
        self.read.resume_rebuild(projection).map(drop).map_err(|error| words(&error))
    }
}

fn refused() -> Result<(), BuildError> {
    Err(BuildError::NoFormer("nothing under way"))
}
