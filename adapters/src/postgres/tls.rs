//! Why no connection came about that nobody can listen to, in words that say what to do.

use std::error::Error;

/// The parameters of an address that name files.
const FILES: [&str; 6] =
    ["sslrootcert", "ssl-root-cert", "sslcert", "ssl-client-cert", "sslkey", "ssl-client-key"];

/// What is wrong with a file that an address names: otherwise that would look like a server that
/// cannot be reached.
pub(super) fn unreadable_file(url: &str) -> Option<String> {
    let (_, parameters) = url.split_once('?')?;
    let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
    // A path in which signs are escaped is left to the connection.
    let files = pairs.filter(|(name, path)| FILES.contains(name) && !path.contains('%'));
    files.into_iter().find_map(|(name, path)| {
        let error = std::fs::File::open(path).err()?;
        Some(format!("the file of {name}={path} cannot be read: {error}"))
    })
}

/// What stood in the way, if it was that.
pub(super) fn refusal(error: &(dyn Error + Send + Sync + 'static)) -> Option<String> {
    let reason = match error.downcast_ref::<sqlx::Error>()? {
        sqlx::Error::Tls(error) => error.to_string(),
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            error.to_string()
        }
        _ => return None,
    };
    let advice = if reason.contains("does not support TLS") {
        "Turn `ssl` on at the server, or ask for less with sslmode=disable where nobody can listen \
         in between"
    } else if reason.contains("UnknownIssuer") {
        "Its certificate was signed by nobody who is trusted here: name the certificate of its \
         authority with sslrootcert=FILE"
    } else if reason.contains("not valid for name") || reason.contains("NotValidForName") {
        "Its certificate is for another host than the one in the address: use the name that stands \
         in the certificate"
    } else {
        "Check sslmode, sslrootcert, sslcert and sslkey in the address, and the server's certificate"
    };
    Some(format!("{reason}. {advice}"))
}
