//! What each role may do: one table.

use hakken_domain::{
    apikey::Role,
    names::{ActorRef, ApiKeyId, Label, OrganizerId},
};

use crate::faults::Fault;

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Run the engine: organizers, projections.
    Operate,
    /// Make and revoke API keys, rotate the keys of ticket codes.
    ManageKeys,
    /// Venues, shows, ticket types, sales rules, allotments.
    Manage,
    /// Hold, order, pay, issue, cancel, refund.
    Sell,
    /// Scan tickets.
    Scan,
    /// See venues, shows, free seats.
    SeeShows,
    /// See tickets.
    SeeTickets,
    /// See holds, orders, sales and scans.
    SeeSales,
    /// See the codes of tickets, with which one can enter.
    SeeCodes,
    /// See who did what: the audit log, the issuance history, every event.
    Audit,
    /// See organizers, keys and how the engine is doing.
    SeeEngine,
}

impl Right {
    /// Who has it.
    pub(crate) const fn holders(self) -> &'static [Role] {
        use Role::{Auditor, BoxOffice, Gate, Operator, Organizer};
        match self {
            Self::Operate => &[Operator],
            Self::ManageKeys => &[Organizer, Operator],
            Self::Manage => &[Organizer],
            Self::Sell | Self::SeeCodes => &[Organizer, BoxOffice],
            Self::Scan => &[Organizer, Gate],
            Self::SeeShows | Self::SeeTickets => &[Organizer, BoxOffice, Gate, Auditor, Operator],
            Self::SeeSales => &[Organizer, BoxOffice, Auditor, Operator],
            Self::Audit | Self::SeeEngine => &[Organizer, Auditor, Operator],
        }
    }
}

/// The holder of a valid key.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) key: ApiKeyId,
    pub(crate) label: Label,
    pub(crate) role: Role,
    pub(crate) organizer: Option<OrganizerId>,
}

impl Caller {
    /// As events name them.
    pub(crate) fn actor(&self) -> ActorRef {
        ActorRef::new(&format!("key:{}", self.key)).expect("a ULID is opaque")
    }

    /// Refuses who may not.
    pub(crate) fn may(&self, right: Right) -> Result<(), Fault> {
        let holders = right.holders();
        if holders.contains(&self.role) {
            return Ok(());
        }
        Err(Fault::Forbidden { role: self.role, holders })
    }

    /// Whose things a query sees: those of the caller's organizer; of any, or of the one that is
    /// named, for an operator.
    pub(crate) fn sees(&self, named: Option<OrganizerId>) -> Result<Option<OrganizerId>, Fault> {
        match (self.organizer, named) {
            (None, named) => Ok(named),
            (Some(own), None) => Ok(Some(own)),
            (Some(own), Some(named)) if own == named => Ok(Some(own)),
            (Some(_), Some(_)) => Err(Fault::OtherOrganizer),
        }
    }
}

/// Who asks: perhaps without a key.
#[derive(Debug, Clone)]
pub(crate) struct Anybody(pub(crate) Option<Caller>);

impl Anybody {
    /// The holder of a key that has this right.
    pub(crate) fn with(&self, right: Right) -> Result<&Caller, Fault> {
        let caller = self.0.as_ref().ok_or(Fault::NoKey)?;
        caller.may(right)?;
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_organizer_and_its_sellers_see_codes() {
        assert_eq!(Right::SeeCodes.holders(), [Role::Organizer, Role::BoxOffice]);
    }

    #[test]
    fn an_auditor_changes_nothing() {
        for right in [Right::Operate, Right::ManageKeys, Right::Manage, Right::Sell, Right::Scan] {
            assert!(!right.holders().contains(&Role::Auditor), "{right:?}");
        }
    }
}
