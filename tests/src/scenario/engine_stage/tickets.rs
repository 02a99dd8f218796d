//! What is done with tickets: at counters and at gates.

use hakken_commands::{desk::ScanRequest, engine::Asker};
use hakken_domain::{
    Event, gate,
    names::TicketId,
    organizer,
    ticket::{self, Channel, Direction},
};
use hakken_projections::models::scans::refusal_word;

use super::{Args, EngineStage, Said, done, parse, refused_at_desk, show_id, ticket_id};
use crate::world::name;

fn channel(args: &mut Args) -> Result<Channel, String> {
    match args.option("at").as_deref() {
        None | Some("box-office") => Ok(Channel::BoxOffice),
        Some("convenience-store") => Ok(Channel::ConvenienceStore),
        Some("online") => Ok(Channel::Online),
        Some(other) => Err(format!("nobody issues at {other:?}")),
    }
}

impl EngineStage {
    /// `issue O1/1 [at=convenience-store]`
    pub(super) async fn issue(&mut self, args: &mut Args, asker: Asker) -> Said {
        let ticket = ticket_id(&args.word("the ticket")?)?;
        let channel = channel(args)?;
        match self.world.desk().issue_ticket(asker, ticket, channel).await {
            Err(error) => Ok(refused_at_desk(&error)),
            Ok(_) => Ok("issued".to_owned()),
        }
    }

    /// `reissue O1/1 [at=…]`: the old code is kept, to be shown at a gate.
    pub(super) async fn reissue(&mut self, args: &mut Args, asker: Asker) -> Said {
        let ticket = ticket_id(&args.word("the ticket")?)?;
        let channel = channel(args)?;
        self.remember_code(&asker, ticket).await;
        let lost = name("紛失");
        match self.world.desk().reissue_ticket(asker, ticket, channel, lost).await {
            Err(error) => Ok(refused_at_desk(&error)),
            Ok(_) => Ok("reissued".to_owned()),
        }
    }

    async fn remember_code(&mut self, asker: &Asker, ticket: TicketId) {
        let generation = self.world.write.engine().read(
            hakken_commands::engine::Tenant::Any,
            ticket,
            |state, _| {
                let hakken_domain::State::Ticket(ticket) = state else { unreachable!() };
                ticket.generation()
            },
        );
        let generation = generation.await.expect("it can be read");
        if let Ok(code) = self.world.desk().code_of(asker, ticket).await {
            self.codes.insert((ticket, generation), code);
        }
    }

    /// `scan O1/1 [generation=1] [show=S2] [gate=…] [exit] [forged | cut | lower-case]`, or
    /// `scan code=HELLO show=S1`
    pub(super) async fn scan(&mut self, args: &mut Args, asker: Asker) -> Said {
        let direction = if args.flag("exit") { Direction::Exit } else { Direction::Entry };
        let gate = args.parsed("gate")?.unwrap_or_else(|| name("北口"));
        let show = args.option("show");
        let (forged, cut, lower) = (args.flag("forged"), args.flag("cut"), args.flag("lower-case"));
        let generation = args.parsed::<u16>("generation")?;
        let (mut code, of_show) = match args.option("code") {
            Some(code) => (code, None),
            None => {
                let called = args.word("the ticket")?;
                let ticket = ticket_id(&called)?;
                let code = match generation {
                    Some(generation) => self.codes.get(&(ticket, generation)).cloned(),
                    None => match self.world.desk().code_of(&asker, ticket).await {
                        Ok(code) => Some(code),
                        Err(error) => return Ok(refused_at_desk(&error)),
                    },
                };
                let order = called.split_once('/').map_or("", |(order, _)| order);
                let item = parse::<u16>(called.split_once('/').map_or("", |(_, item)| item))?;
                let state = self.world.order_state(super::order_id(order)).await;
                let show = state.item(item).map(|item| item.item.show);
                (code.ok_or("nobody has seen that code")?, show)
            }
        };
        if forged {
            let last = if code.ends_with('A') { 'B' } else { 'A' };
            code.pop();
            code.push(last);
        }
        if cut {
            code.truncate(code.len() / 2);
        }
        if lower {
            code = code.to_lowercase();
        }
        let show = show.map(|called| show_id(&called)).or(of_show).ok_or("at which show?")?;
        let scan = ScanRequest { show, gate, direction, code };
        match self.world.desk().scan(asker, scan).await {
            Err(error) => Ok(refused_at_desk(&error)),
            Ok(scanned) => {
                let said = scanned.receipt.events.iter().find_map(|event| {
                    Some(match &event.decoded().ok()?.event {
                        Event::Ticket(ticket::Event::TicketEntered(_)) => "admitted".to_owned(),
                        Event::Ticket(ticket::Event::TicketExited(_)) => "left".to_owned(),
                        Event::Ticket(ticket::Event::ScanRefused(refused)) => {
                            format!("refused {}", refusal_word(refused.reason))
                        }
                        Event::Gate(gate::Event::CodeRefused(refused)) => {
                            format!("refused {}", refusal_word(refused.reason))
                        }
                        _ => return None,
                    })
                });
                Ok(said.unwrap_or_else(|| "nothing recorded".to_owned()))
            }
        }
    }

    /// `new-key`: codes are signed with another key from now on.
    pub(super) async fn new_key(&mut self, asker: Asker) -> Said {
        let organizer = asker.organizer.expect("scripts have organizers");
        let command = organizer::Command::RotateCodeKey;
        Ok(done(self.world.desk().ask(asker, organizer, command).await, "signing"))
    }

    /// `disable-key 1`
    pub(super) async fn disable_key(&mut self, args: &mut Args, asker: Asker) -> Said {
        let organizer = asker.organizer.expect("scripts have organizers");
        let code_key = parse(&args.word("the key")?)?;
        let command = organizer::Command::DisableCodeKey { code_key };
        Ok(done(self.world.desk().ask(asker, organizer, command).await, "disabled"))
    }
}
