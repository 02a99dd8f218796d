//! The suites over the row store in memory.

use crate::testing::Store;

crate::row_store_suite!(Store::in_memory());
crate::read_model_suite!(Store::in_memory());
