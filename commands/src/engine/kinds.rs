//! The kinds of commands, as figures and traces name them.

use hakken_domain::{
    Command, apikey, gate, inventory, operations, order, organizer, show, ticket, venue,
};

macro_rules! kinds {
    ($($stream:ident($module:ident) { $($kind:ident => $name:literal,)* })*) => {
        /// What a command asks for, without what it asks it of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CommandKind { $($(
            #[doc = concat!("`", stringify!($module), "::Command::", stringify!($kind), "`")]
            $kind,
        )*)* }

        impl CommandKind {
            /// Every kind, in the order of the declaration.
            pub const ALL: [Self; [$($($name,)*)*].len()] = [$($(Self::$kind,)*)*];

            /// The kind of a command.
            pub fn of(command: &Command) -> Self {
                match command { $($(
                    Command::$stream($module::Command::$kind { .. }) => Self::$kind,
                )*)* }
            }

            /// As figures and traces name it. Never changes.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$kind => $name,)*)* }
            }
        }
    };
}

kinds! {
    Inventory(inventory) {
        OpenSales => "open_sales",
        ChangeSalesRules => "change_sales_rules",
        CloseSales => "close_sales",
        BlockSeats => "block_seats",
        UnblockSeats => "unblock_seats",
        SetAllotment => "set_allotment",
        HoldSeats => "hold_seats",
        ExtendHold => "extend_hold",
        ReleaseHold => "release_hold",
        ConfirmHold => "confirm_hold",
        ReturnPlaces => "return_places",
        Sweep => "sweep",
    }
    Order(order) {
        PlaceOrder => "place_order",
        CapturePayments => "capture_payments",
        ReversePayment => "reverse_payment",
        ConfirmOrder => "confirm_order",
        FailOrder => "fail_order",
        Cancel => "cancel",
        CompleteCancellation => "complete_cancellation",
        RefundMoney => "refund_money",
        SettleRefund => "settle_refund",
        FailRefund => "fail_refund",
        RetryRefund => "retry_refund",
    }
    Ticket(ticket) {
        CreateTicket => "create_ticket",
        IssueTicket => "issue_ticket",
        ReissueTicket => "reissue_ticket",
        SuspendTicket => "suspend_ticket",
        ReinstateTicket => "reinstate_ticket",
        VoidTicket => "void_ticket",
        Scan => "scan",
    }
    Show(show) {
        ScheduleShow => "schedule_show",
        OfferTicketType => "offer_ticket_type",
        WithdrawTicketType => "withdraw_ticket_type",
        CancelShow => "cancel_show",
    }
    Venue(venue) {
        RegisterVenue => "register_venue",
        ReplaceSeatMap => "replace_seat_map",
    }
    Organizer(organizer) {
        RegisterOrganizer => "register_organizer",
        RotateCodeKey => "rotate_code_key",
        DisableCodeKey => "disable_code_key",
    }
    Key(apikey) {
        CreateApiKey => "create_api_key",
        RevokeApiKey => "revoke_api_key",
    }
    Gate(gate) {
        RefuseCode => "refuse_code",
    }
    Operations(operations) {
        SkipEvent => "skip_event",
        WithdrawSkip => "withdraw_skip",
    }
}
