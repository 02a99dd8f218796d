use crate::ports::ApiContext;
/// x
pub fn router(_ctx: ApiContext) -> axum::Router { axum::Router::new() }
