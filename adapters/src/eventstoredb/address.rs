//! The address: what the client takes of it, and what is ours.

use std::time::Duration;

use eventstore::ClientSettings;

use super::OpenError;

/// What streams are called before the first full stop, unless the address says otherwise.
const NAMESPACE: &str = "hakken";

/// How long the server may take for one call, unless the address says otherwise.
const DEADLINE: Duration = Duration::from_secs(12);

/// Longest name of a namespace, in bytes.
const MAX_NAMESPACE: usize = 40;

/// The client waits so long before each try to connect, the first one too. Its own half second
/// would be the price of every connection that is made anew.
const DISCOVERY: [(&str, &str); 2] = [("discoveryInterval", "50"), ("maxDiscoverAttempts", "20")];

/// Where the events are.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) settings: ClientSettings,
    /// The nodes, for messages: without a password.
    pub(super) name: String,
    /// How long the server may take for one call.
    pub(super) deadline: Duration,
    /// Which engine's streams: those whose names begin with it and a full stop.
    pub(super) namespace: String,
}

impl Address {
    /// Reads `esdb://HOST:PORT?tls=false`, or the same with `esdb+discover`, `kurrentdb` or
    /// `kurrentdb+discover`. The client knows the old names alone.
    pub(super) fn parse(text: &str) -> Result<Self, OpenError> {
        let refused = |reason: String| OpenError::Address { reason };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| refused("it has no scheme".to_owned()))?;
        let scheme = match scheme {
            "esdb" | "kurrentdb" => "esdb",
            "esdb+discover" | "kurrentdb+discover" => "esdb+discover",
            other => return Err(refused(format!("{other:?} is another kind of store"))),
        };
        let (nodes, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut namespace = NAMESPACE.to_owned();
        let mut settings = Vec::new();
        let mut deadline = DEADLINE;
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=') {
                Some(("streams", name)) => namespace = name.to_owned(),
                // The client would send it, and not keep it.
                Some((name, milliseconds)) if name.eq_ignore_ascii_case("defaultDeadline") => {
                    let milliseconds = milliseconds.parse().ok().filter(|count| *count > 0);
                    deadline = milliseconds.map(Duration::from_millis).ok_or_else(|| {
                        refused("defaultDeadline is a number of milliseconds".to_owned())
                    })?;
                }
                _ => settings.push(setting.to_owned()),
            }
        }
        let is_name = |text: &str| {
            (1..=MAX_NAMESPACE).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !is_name(&namespace) {
            return Err(refused(format!(
                "streams={namespace:?} is no name of lower-case letters, digits and underscores"
            )));
        }
        for (name, value) in DISCOVERY {
            let is_set = |setting: &String| {
                setting.split('=').next().is_some_and(|set| set.eq_ignore_ascii_case(name))
            };
            if !settings.iter().any(is_set) {
                settings.push(format!("{name}={value}"));
            }
        }
        let name = nodes.rsplit_once('@').map_or(nodes, |(_, nodes)| nodes);
        let address = format!("{scheme}://{nodes}?{}", settings.join("&"));
        let settings = address.parse().map_err(|error: eventstore::ClientSettingsParseError| {
            refused(error.to_string().replace(&address, name))
        })?;
        let name = name.trim_end_matches('/').to_owned();
        Ok(Self { settings, name, deadline, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> (String, String, usize) {
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (address.name, address.namespace, address.settings.hosts().len())
    }

    #[test]
    fn both_names_of_the_store_are_understood() {
        let told = ("localhost:2113".to_owned(), "hakken".to_owned(), 1);
        assert_eq!(read("esdb://localhost:2113?tls=false"), told);
        assert_eq!(read("kurrentdb://localhost:2113?tls=false"), told);
        assert_eq!(read("esdb://admin:secret@localhost:2113"), told);
        let (name, namespace, hosts) = read("esdb://a:1,b:2,c:3?tls=false&streams=tour_2026");
        assert_eq!((name.as_str(), namespace.as_str(), hosts), ("a:1,b:2,c:3", "tour_2026", 3));
    }

    #[test]
    fn what_is_no_address_is_refused_with_words() {
        for (text, words) in [
            ("localhost:2113", "no scheme"),
            ("mysql://localhost", "another kind of store"),
            ("esdb://localhost:2113?streams=", "lower-case"),
            ("esdb://localhost:2113?streams=A-b", "lower-case"),
            ("esdb://h?defaultDeadline=soon", "milliseconds"),
            ("esdb://:secret@h:port", "Invalid"),
        ] {
            let error = Address::parse(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn what_the_address_says_of_discovery_counts() {
        let said = Address::parse("esdb://h?tls=false&DiscoveryInterval=700").unwrap();
        assert_eq!(said.settings.discovery_interval().as_millis(), 700);
        let unsaid = Address::parse("esdb://h?tls=false").unwrap();
        assert_eq!(unsaid.settings.discovery_interval().as_millis(), 50);
    }
}
