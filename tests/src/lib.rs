//! What the tests share.

pub use hakken_domain::audit;
pub mod edge;
pub mod eventstoredb;
pub mod faults;
pub mod faulty_rows;
pub mod fuzz;
pub mod postgres;
pub mod proxy;
pub mod scenario;
pub mod sim;
pub mod stores;
pub mod world;
