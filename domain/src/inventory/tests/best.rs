//! Best available.
