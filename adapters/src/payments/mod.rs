//! Whoever moves money: by hand, or a simulated gateway.

mod manual;
mod simulated;

pub use manual::ManualPayments;
pub use simulated::SimulatedGateway;
