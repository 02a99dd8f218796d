//! The program behind HTTP, and a generator of load that costs little of the processors that it
//! shares with it.

mod load;
mod program;
mod stage;

pub use load::{Answer, Caller, Figures, Request, round};
pub use program::{Plain, Program, cpu_of_self};
pub use stage::{SEATS, Show, Stage};
