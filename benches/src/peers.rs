//! Other Rust crates for event sourcing, in a program and a workspace of their own
//! (`benches/peers`): what they bring along is no part of this build.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The program that sells through them.
pub struct Peers(PathBuf);

impl Peers {
    /// Builds it, which takes minutes the first time.
    pub fn build() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").context("start this with cargo bench")?;
        let exe = std::env::current_exe()?;
        let target = exe.ancestors().nth(3).context("target")?.join("peers");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
        ensure!(build.arg("--target-dir").arg(&target).status()?.success(), "it cannot be built");
        Ok(Self(target.join("release/hakken-peers")))
    }

    /// Reservations a second through a peer (`cqrs-es`, `esrs`), with `one-show` or `many-shows`.
    pub fn sell(
        &self,
        url: &str,
        peer: &str,
        shows: &str,
        callers: usize,
        millis: u128,
    ) -> Result<f64> {
        let mut program = Command::new(&self.0);
        program.args([url, peer, shows, &callers.to_string(), &millis.to_string()]);
        let said = program.output().context("the program of the peers")?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let said = String::from_utf8(said.stdout)?;
        let rate = said.split_whitespace().next().context("it said nothing")?;
        Ok(rate.parse()?)
    }
}
