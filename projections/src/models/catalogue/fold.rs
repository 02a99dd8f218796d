//! From the facts of organizers, venues, shows and keys to their rows.

use hakken_domain::{
    Event, apikey,
    envelope::{Decoded, StoredEvent},
    names::{ApiKeyId, OrganizerId, ShowId, VenueId},
    organizer, show, venue,
};

use super::{ApiKeyView, CodeKeyView, MapRow, OrganizerView, ShowView, VenueView};
use crate::{
    cache::{AnyRows, Cache},
    projection::{Fold, Inconsistent},
};

pub(super) struct CatalogueFold {
    organizers: Cache<OrganizerView>,
    venues: Cache<VenueView>,
    maps: Cache<MapRow>,
    shows: Cache<ShowView>,
    keys: Cache<ApiKeyView>,
}

impl Default for CatalogueFold {
    fn default() -> Self {
        Self {
            organizers: Cache::default(),
            venues: Cache::default(),
            maps: Cache::transient(),
            shows: Cache::default(),
            keys: Cache::default(),
        }
    }
}

impl Fold for CatalogueFold {
    fn rows(&mut self) -> Vec<&mut dyn AnyRows> {
        vec![
            &mut self.organizers,
            &mut self.venues,
            &mut self.maps,
            &mut self.shows,
            &mut self.keys,
        ]
    }

    fn needs(&mut self, event: &StoredEvent) {
        let Ok(decoded) = event.decoded() else { return };
        let id = event.stream.id;
        match &decoded.event {
            Event::Organizer(_) => self.organizers.need(&OrganizerId(id)),
            Event::Venue(_) => self.venues.need(&VenueId(id)),
            Event::Show(_) => self.shows.need(&ShowId(id)),
            Event::Key(_) => self.keys.need(&ApiKeyId(id)),
            Event::Inventory(_)
            | Event::Order(_)
            | Event::Ticket(_)
            | Event::Gate(_)
            | Event::Operations(_) => {}
        }
    }

    fn apply(&mut self, event: &StoredEvent) -> Result<(), Inconsistent> {
        let decoded = event.decoded()?;
        match &decoded.event {
            Event::Organizer(fact) => self.apply_organizer(event, fact),
            Event::Venue(fact) => self.apply_venue(event, decoded, fact),
            Event::Show(fact) => self.apply_show(event, decoded, fact),
            Event::Key(fact) => self.apply_key(event, fact),
            Event::Inventory(_)
            | Event::Order(_)
            | Event::Ticket(_)
            | Event::Gate(_)
            | Event::Operations(_) => Ok(()),
        }
    }
}

fn unknown(event: &StoredEvent) -> Inconsistent {
    Inconsistent(format!("the stream {} does not begin with its first fact", event.stream))
}

impl CatalogueFold {
    fn apply_organizer(
        &mut self,
        event: &StoredEvent,
        fact: &organizer::Event,
    ) -> Result<(), Inconsistent> {
        use organizer::Event as E;
        let id = OrganizerId(event.stream.id);
        if let E::OrganizerRegistered(registered) = fact {
            let view = OrganizerView {
                organizer: id,
                name: registered.name.clone(),
                code_keys: Vec::new(),
                registered_at: event.recorded_at,
                position: event.position,
            };
            self.organizers.put(id, view);
            return Ok(());
        }
        let view = self.organizers.get_mut(&id).ok_or_else(|| unknown(event))?;
        match fact {
            E::OrganizerRegistered(_) => {}
            E::CodeKeyAdded(added) => view.code_keys.push(CodeKeyView {
                code_key: added.code_key,
                disabled: false,
                added_at: event.recorded_at,
            }),
            E::CodeKeyDisabled(disabled) => {
                let keys = view.code_keys.iter_mut();
                for key in keys.filter(|key| key.code_key == disabled.code_key) {
                    key.disabled = true;
                }
            }
        }
        Ok(())
    }

    fn apply_venue(
        &mut self,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &venue::Event,
    ) -> Result<(), Inconsistent> {
        use venue::Event as E;
        let id = VenueId(event.stream.id);
        let seat_map = match fact {
            E::VenueRegistered(registered) => {
                let view = VenueView {
                    venue: id,
                    organizer: decoded.meta.organizer,
                    name: registered.name.clone(),
                    seats: 0,
                    pool_places: 0,
                    registered_at: event.recorded_at,
                    position: event.position,
                };
                self.venues.put(id, view);
                &registered.seat_map
            }
            E::SeatMapReplaced(replaced) => &replaced.seat_map,
        };
        let view = self.venues.get_mut(&id).ok_or_else(|| unknown(event))?;
        view.seats = seat_map.seats().count() as u64;
        view.pool_places = seat_map.pools.iter().map(|pool| u64::from(pool.capacity)).sum();
        self.maps.put(id, MapRow(seat_map.clone()));
        Ok(())
    }

    fn apply_show(
        &mut self,
        event: &StoredEvent,
        decoded: &Decoded,
        fact: &show::Event,
    ) -> Result<(), Inconsistent> {
        use show::Event as E;
        let id = ShowId(event.stream.id);
        if let E::ShowScheduled(scheduled) = fact {
            let view = ShowView {
                show: id,
                organizer: decoded.meta.organizer,
                scheduled: scheduled.clone(),
                ticket_types: Vec::new(),
                cancelled_because: None,
                position: event.position,
            };
            self.shows.put(id, view);
            return Ok(());
        }
        let view = self.shows.get_mut(&id).ok_or_else(|| unknown(event))?;
        match fact {
            E::ShowScheduled(_) => {}
            E::TicketTypeOffered(offered) => {
                let types = &mut view.ticket_types;
                match types.iter_mut().find(|known| known.ticket_type == offered.ticket_type) {
                    Some(known) => *known = offered.clone(),
                    None => types.push(offered.clone()),
                }
            }
            E::TicketTypeWithdrawn(withdrawn) => {
                view.ticket_types.retain(|known| known.ticket_type != withdrawn.ticket_type);
            }
            E::ShowCancelled(cancelled) => {
                view.cancelled_because = Some(cancelled.reason.clone());
            }
        }
        Ok(())
    }

    fn apply_key(&mut self, event: &StoredEvent, fact: &apikey::Event) -> Result<(), Inconsistent> {
        use apikey::Event as E;
        let id = ApiKeyId(event.stream.id);
        match fact {
            E::ApiKeyCreated(created) => {
                let view = ApiKeyView {
                    api_key: id,
                    organizer: created.organizer,
                    label: created.label.clone(),
                    role: created.role,
                    revoked: false,
                    created_at: event.recorded_at,
                    position: event.position,
                };
                self.keys.put(id, view);
            }
            E::ApiKeyRevoked(_) => {
                self.keys.get_mut(&id).ok_or_else(|| unknown(event))?.revoked = true;
            }
        }
        Ok(())
    }
}
