//! Putting a show on sale, and calling one off.

use hakken_domain::{
    State,
    envelope::StreamId,
    inventory::{self, SalesRules},
    names::{Reason, ShowId, VenueId},
    show,
};

use super::{Desk, DeskError, DeskRejection};
use crate::engine::{Asker, CommandError, Receipt, Tenant};

impl Desk {
    /// Puts a show on sale, with its venue's seat map as it is now.
    pub async fn open_sales(
        &self,
        asker: Asker,
        show: ShowId,
        rules: SalesRules,
    ) -> Result<Receipt, DeskError> {
        let stream = StreamId::inventory(show);
        match self.build_sales(&asker, show, rules).await {
            Ok(command) => Ok(self.create(asker, stream, command).await?),
            Err(DeskError::Refused(rejection)) => {
                self.unless_granted(asker, stream, rejection).await
            }
            Err(error) => Err(error),
        }
    }

    async fn build_sales(
        &self,
        asker: &Asker,
        show: ShowId,
        rules: SalesRules,
    ) -> Result<inventory::Command, DeskError> {
        let tenant = Tenant::Of(asker.organizer);
        let unknown = DeskRejection::ShowUnknown(show);
        let known = self.engine.read(tenant, StreamId::show(show), |state, _| {
            let State::Show(show) = state else { unreachable!("a show's stream") };
            Some((show.scheduled()?.venue, show.legs(), show.is_cancelled()))
        });
        let (venue, legs, cancelled): (VenueId, u8, bool) = match known.await {
            Ok(found) => found.ok_or(unknown)?,
            Err(CommandError::NotYours) => return Err(unknown.into()),
            Err(error) => return Err(error.into()),
        };
        if cancelled {
            return Err(DeskRejection::ShowCancelled(show).into());
        }
        let map = self.engine.read(tenant, venue, |state, _| {
            let State::Venue(venue) = state else { unreachable!("a venue's stream") };
            venue.seat_map().cloned()
        });
        let seat_map = match map.await {
            Ok(found) => found.ok_or(DeskRejection::VenueUnknown)?,
            Err(CommandError::NotYours) => return Err(DeskRejection::VenueUnknown.into()),
            Err(error) => return Err(error.into()),
        };
        Ok(inventory::Command::OpenSales { venue, seat_map: Box::new(seat_map), legs, rules })
    }

    /// Calls a show off and ends its sales. Its orders are cancelled one by one by whoever
    /// decides what each buyer gets back.
    pub async fn cancel_show(
        &self,
        asker: Asker,
        show: ShowId,
        reason: Reason,
    ) -> Result<Receipt, CommandError> {
        let part = Self::part(&asker, "close-sales");
        let cancel = show::Command::CancelShow { reason: reason.clone() };
        let receipt = self.ask(asker, StreamId::show(show), cancel).await?;
        let close = inventory::Command::CloseSales { reason };
        match self.ask(part, StreamId::inventory(show), close).await {
            Ok(closed) => {
                Ok(Receipt { position: receipt.position.max(closed.position), ..receipt })
            }
            // It never was on sale.
            Err(CommandError::Rejected(_)) => Ok(receipt),
            Err(error) => Err(error),
        }
    }
}
