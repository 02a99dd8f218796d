//! The program behind HTTP, and a generator of load that costs little of the processors that it
//! shares with it.

mod gate;
mod load;
mod program;
mod stage;

pub use gate::Door;
pub use load::{Answer, Caller, Figures, Request, round};
pub use program::{Plain, Program, cpu_of_self};
pub use stage::{SEATS, Show, Stage};
