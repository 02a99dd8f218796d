//! A file says that the rest of a history is on its way here.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use futures_util::future::{self, BoxFuture, FutureExt};
use hakken_commands::store::StoreError;

use super::EmbeddedStore;
use crate::{data_dir::sync_dir, fault::unavailable, unfinished::Unfinished};

impl Unfinished for EmbeddedStore {
    fn is_unfinished(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        future::ready(self.shared.unfinished.try_exists().map_err(unavailable)).boxed()
    }

    fn begin(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        future::ready(mark(&self.shared.unfinished).map_err(unavailable)).boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        future::ready(unmark(&self.shared.unfinished).map_err(unavailable)).boxed()
    }
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn mark(file: &Path) -> io::Result<()> {
    File::create(file)?.sync_all()?;
    sync_dir(directory(file))
}

fn unmark(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_dir(directory(file)),
    }
}
