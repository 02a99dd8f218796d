//! The engine's secret: 32 random bytes that every ticket code and API key depends on. Its file
//! holds them and their CRC-32, since another secret in the place of the right one would be worse
//! than none. A file of 32 bytes, written by hand, is taken as it is.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::PathBuf,
};

use crate::data_dir::{DataDir, DirLock, LockError, sync_dir};

const BYTES: usize = 32;
const CHECK_BYTES: usize = 4;

/// 32 random bytes, made at the first start and kept for ever. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct EngineSecret([u8; BYTES]);

impl fmt::Debug for EngineSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineSecret(..)")
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There are events, so there was a secret, and it is gone.
    #[error(
        "{path} is missing, but {events} has events: a new secret would make every ticket code and API key invalid. Put the secret back from a backup. Only if every code and key may die: delete nothing, and write 32 random bytes to {path}"
    )]
    Missing {
        /// Where it must be.
        path: PathBuf,
        /// The events that depend on it.
        events: PathBuf,
    },
    /// The file is not a secret.
    #[error(
        "{path} has {length} bytes, and a secret has 36: it is damaged. Put the secret back from a backup"
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Bytes it has.
        length: u64,
    },
    /// It is not what was written.
    #[error(
        "{path} does not match its checksum: it is damaged, and with it every ticket code and API key would be invalid. Put the secret back from a backup"
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(
        "{path} cannot be read: {source}. The server must run as the user who owns it (mode 0600)"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("{path} cannot be created: {source}. The data directory must be writable")]
    Uncreatable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl EngineSecret {
    /// A secret of these bytes, for tests and for other places to keep it.
    pub fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// The secret of a data directory; drawn and written, readable by its owner alone, if the
    /// directory has neither a secret nor events. Call it before the event store is opened for
    /// the first time.
    pub fn open(dir: &DataDir) -> Result<Self, SecretError> {
        if let Some(secret) = Self::find(dir)? {
            return Ok(secret);
        }
        if fs::metadata(&dir.events).is_ok_and(|events| events.len() > 0) {
            return Err(SecretError::Missing {
                path: dir.secret.clone(),
                events: dir.events.clone(),
            });
        }
        let made = super::random_bytes().map(Self).and_then(|secret| secret.create(dir));
        made.map_err(|source| SecretError::Uncreatable { path: dir.secret.clone(), source })
    }

    /// As it stands in its file.
    pub(crate) fn to_file(&self) -> [u8; BYTES + CHECK_BYTES] {
        let mut file = [0; BYTES + CHECK_BYTES];
        file[..BYTES].copy_from_slice(&self.0);
        file[BYTES..].copy_from_slice(&check_of(&self.0));
        file
    }

    /// The secret of a data directory, if it has one.
    pub fn find(dir: &DataDir) -> Result<Option<Self>, SecretError> {
        match File::open(&dir.secret) {
            Ok(file) => Self::read(file, dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SecretError::Unreadable { path: dir.secret.clone(), source }),
        }
    }

    /// Writes it into a data directory that has none, readable by its owner alone.
    pub fn put(&self, dir: &DataDir) -> Result<(), SecretError> {
        let put = self.clone().create(dir);
        put.map(drop)
            .map_err(|source| SecretError::Uncreatable { path: dir.secret.clone(), source })
    }

    fn read(mut file: File, dir: &DataDir) -> Result<Self, SecretError> {
        let path = || dir.secret.clone();
        let unreadable = |source| SecretError::Unreadable { path: path(), source };
        let length = file.metadata().map_err(unreadable)?.len();
        let is_checked = length == (BYTES + CHECK_BYTES) as u64;
        if !is_checked && length != BYTES as u64 {
            return Err(SecretError::WrongLength { path: path(), length });
        }
        let (mut bytes, mut check) = ([0; BYTES], [0; CHECK_BYTES]);
        file.read_exact(&mut bytes).map_err(unreadable)?;
        if is_checked {
            file.read_exact(&mut check).map_err(unreadable)?;
            if check != check_of(&bytes) {
                return Err(SecretError::Changed { path: path() });
            }
        }
        Ok(Self(bytes))
    }

    /// The file appears whole or not at all, whenever the machine stops. Of two processes that
    /// start at once only one makes it.
    fn create(self, dir: &DataDir) -> io::Result<Self> {
        let _lock = DirLock::take(dir).map_err(|error| match error {
            LockError::Io { source, .. } => source,
            LockError::Taken => io::Error::new(io::ErrorKind::WouldBlock, error),
        })?;
        if dir.secret.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let unfinished = dir.root.join("secret.new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(&self.to_file())?;
        file.sync_all()?;
        fs::rename(&unfinished, &dir.secret)?;
        sync_dir(&dir.root)?;
        Ok(self)
    }
}

fn check_of(bytes: &[u8; BYTES]) -> [u8; CHECK_BYTES] {
    crc32fast::hash(bytes).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_secret_and_the_next_finds_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path().join("data"));
        let made = EngineSecret::open(&dir).unwrap();
        assert_eq!(EngineSecret::open(&dir).unwrap(), made);
        assert_ne!(made.as_bytes(), &[0; BYTES]);
        assert_eq!(format!("{made:?}"), "EngineSecret(..)");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        EngineSecret::open(&dir).unwrap();
        assert_eq!(fs::metadata(&dir.secret).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_lost_secret_beside_events_is_not_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        fs::write(&dir.events, b"events").unwrap();
        let error = EngineSecret::open(&dir).unwrap_err();
        assert!(matches!(error, SecretError::Missing { .. }));
        assert!(error.to_string().contains("Put the secret back from a backup"), "{error}");
        assert!(!dir.secret.exists());
    }

    #[test]
    fn of_two_first_starts_only_one_makes_a_secret() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        let other = DirLock::take(&dir).unwrap();
        let error = EngineSecret::open(&dir).unwrap_err();
        assert!(matches!(error, SecretError::Uncreatable { .. }));
        assert!(error.to_string().contains("another process"), "{error}");
        drop(other);
        EngineSecret::open(&dir).unwrap();
    }

    #[test]
    fn a_copy_of_the_events_gets_the_same_secret_and_never_another_one() {
        let temp = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| DataDir::at(temp.path().join(name)));
        assert_eq!(EngineSecret::find(&one).unwrap(), None);
        let secret = EngineSecret::open(&one).unwrap();
        secret.put(&other).unwrap();
        assert_eq!(EngineSecret::find(&other).unwrap(), Some(secret));
        let stranger = EngineSecret::from_bytes([7; BYTES]);
        assert!(matches!(stranger.put(&other), Err(SecretError::Uncreatable { .. })));
    }

    #[test]
    fn a_cut_secret_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        fs::write(&dir.secret, [1; 31]).unwrap();
        let error = EngineSecret::open(&dir).unwrap_err();
        assert!(matches!(error, SecretError::WrongLength { length: 31, .. }));
    }

    #[test]
    fn a_secret_with_a_flipped_bit_is_refused_and_one_written_by_hand_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        let made = EngineSecret::open(&dir).unwrap();
        let file = fs::read(&dir.secret).unwrap();
        for at in 0..file.len() {
            let mut broken = file.clone();
            broken[at] ^= 1 << (at % 8);
            fs::write(&dir.secret, broken).unwrap();
            let error = EngineSecret::open(&dir).unwrap_err();
            assert!(matches!(error, SecretError::Changed { .. }), "byte {at}: {error}");
        }
        fs::write(&dir.secret, made.as_bytes()).unwrap();
        assert_eq!(EngineSecret::open(&dir).unwrap(), made);
    }

    #[test]
    fn a_start_that_stopped_while_making_the_secret_makes_it_again() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        fs::write(temp.path().join("secret.new"), [1; 7]).unwrap();
        EngineSecret::open(&dir).unwrap();
        assert!(!temp.path().join("secret.new").exists());
    }

    #[test]
    fn a_secret_that_cannot_be_read_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::at(temp.path());
        fs::create_dir(&dir.secret).unwrap();
        let error = EngineSecret::open(&dir).unwrap_err();
        assert!(
            matches!(error, SecretError::WrongLength { .. } | SecretError::Unreadable { .. }),
            "{error}"
        );
    }
}
