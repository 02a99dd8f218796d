//! stub
pub async fn run(_: crate::cli::Demo) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("x")
}
