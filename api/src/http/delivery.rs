//! How the bytes of an answer go out: compressed where that is worth its time, and not at all to
//! who has them already.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// A smaller body arrives with the first packets of a connection, however small it is made:
/// compressing it would only cost time.
const WORTH_COMPRESSING: usize = 12 << 10;
/// A larger body is compressed beside those who wait for something else.
const LARGE: usize = 128 << 10;

/// Whether whoever gets an answer may keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// As long as it is the same: it has a tag, by which one may ask.
    Asking,
    /// Nobody does: an answer to POST, or to a mutation.
    Never,
    /// Nobody may, although it is an answer to GET.
    Forbidden,
    /// So long, whatever happens.
    Public(&'static str),
}

impl Keeping {
    /// Of a good answer.
    pub(crate) fn of(method: &Method) -> Self {
        if *method == Method::GET { Self::Asking } else { Self::Never }
    }

    fn header(self) -> Option<&'static str> {
        match self {
            Self::Asking => Some("private, no-cache"),
            Self::Never => None,
            Self::Forbidden => Some("no-store"),
            Self::Public(words) => Some(words),
        }
    }

    fn has_tag(self) -> bool {
        matches!(self, Self::Asking | Self::Public(_))
    }
}

/// The bytes of an answer, and what is made of them when somebody wants it: once, however many
/// get the same answer.
#[derive(Debug)]
pub(crate) struct Content {
    kind: HeaderValue,
    bytes: Bytes,
    tag: OnceLock<HeaderValue>,
    /// None if that is not smaller.
    compressed: OnceLock<Option<Bytes>>,
}

impl Content {
    /// Of a media type.
    pub(crate) fn new(kind: HeaderValue, bytes: impl Into<Bytes>) -> Arc<Self> {
        let bytes = bytes.into();
        Arc::new(Self { kind, bytes, tag: OnceLock::new(), compressed: OnceLock::new() })
    }

    /// Bytes that it takes at most, compressed form included.
    pub(crate) fn weight(&self) -> usize {
        2 * self.bytes.len()
    }

    fn tag(&self) -> &HeaderValue {
        self.tag.get_or_init(|| tag_of(&[&self.bytes]))
    }

    fn compress(&self) -> Option<&Bytes> {
        self.compressed.get_or_init(|| compress(&self.bytes)).as_ref()
    }

    async fn compressed(self: &Arc<Self>) -> Option<Bytes> {
        if self.bytes.len() < WORTH_COMPRESSING {
            return None;
        }
        if self.bytes.len() > LARGE && self.compressed.get().is_none() {
            self.beside(|content| {
                content.compress();
            })
            .await;
        }
        self.compress().cloned()
    }

    async fn tagged(self: &Arc<Self>) -> &HeaderValue {
        if self.bytes.len() > LARGE && self.tag.get().is_none() {
            self.beside(|content| {
                content.tag();
            })
            .await;
        }
        self.tag()
    }

    /// Works beside those who wait for something else.
    async fn beside(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        let content = self.clone();
        // Who stops the runtime needs no answer any more.
        let _ = tokio::task::spawn_blocking(move || work(&content)).await;
    }

    /// The answer to a request with these headers.
    pub(crate) async fn response(
        self: &Arc<Self>,
        asked: &HeaderMap,
        keeping: Keeping,
    ) -> Response {
        let tag = if keeping.has_tag() { Some(self.tagged().await) } else { None };
        let known = tag.is_some_and(|tag| knows(asked, tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let packed = if takes_gzip(asked) { self.compressed().await } else { None };
            let is_packed = packed.is_some();
            let bytes = packed.unwrap_or_else(|| self.bytes.clone());
            let mut response = ([(header::CONTENT_TYPE, self.kind.clone())], bytes).into_response();
            if is_packed {
                let gzip = HeaderValue::from_static("gzip");
                response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            }
            response
        };
        let headers = response.headers_mut();
        if let Some(words) = keeping.header() {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(words));
        }
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag.clone());
        }
        if let Some(by) = varies(keeping, self.bytes.len()) {
            headers.insert(header::VARY, HeaderValue::from_static(by));
        }
        response
    }
}

/// Which headers of a request decide about the answer.
fn varies(keeping: Keeping, length: usize) -> Option<&'static str> {
    match keeping {
        Keeping::Asking | Keeping::Forbidden => Some("Authorization, Accept, Accept-Encoding"),
        Keeping::Never | Keeping::Public(_) => {
            (length >= WORTH_COMPRESSING).then_some("Accept-Encoding")
        }
    }
}

/// A tag for what these parts decide: weak, since compressed bytes have the same.
pub(crate) fn tag_of(parts: &[&[u8]]) -> HeaderValue {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let text = format!("W/\"{}\"", BASE64URL_NOPAD.encode(&digest.finalize()[..16]));
    HeaderValue::try_from(text).expect("base64 may stand in a header")
}

/// Whether the client has what has this tag.
pub(crate) fn knows(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else { return false };
    words(asked, header::IF_NONE_MATCH).any(|known| known == "*" || opaque(known) == tag)
}

/// Whether the client reads gzip.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let mut others = false;
    for coding in words(asked, header::ACCEPT_ENCODING) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let wanted = weight.is_none_or(|q| q.parse::<f32>().is_ok_and(|q| q > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return wanted;
        }
        others |= name == "*" && wanted;
    }
    others
}

/// The members of a header that is a list.
fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn compress(bytes: &[u8]) -> Option<Bytes> {
    let half = Vec::with_capacity(bytes.len() / 2);
    let mut encoder = GzEncoder::new(half, Compression::fast());
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len()).then(|| packed.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;

    use super::*;

    fn asking(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    async fn sent(content: &Arc<Content>, asked: &HeaderMap) -> (StatusCode, HeaderMap, Bytes) {
        let response = content.response(asked, Keeping::Asking).await;
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap())
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let takes = |accept: &str| takes_gzip(&asking(&[(header::ACCEPT_ENCODING, accept)]));
        assert!(takes("gzip") && takes("gzip, deflate, br") && takes("br;q=1, GZIP;q=0.5"));
        assert!(takes("*") && takes("*;q=0.1, br"));
        assert!(!takes("gzip;q=0") && !takes("*, gzip;q=0") && !takes("br") && !takes("*;q=0"));
        assert!(!takes("gzip;q=much") && !takes_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_and_small_ones_are_not() {
        let json = HeaderValue::from_static("application/json");
        let gzip = asking(&[(header::ACCEPT_ENCODING, "gzip")]);
        for (length, is_packed) in [(100, false), (WORTH_COMPRESSING, true), (LARGE + 1, true)] {
            let text = "seat ".repeat(length.div_ceil(5));
            let content = Content::new(json.clone(), text.clone());
            let (_, headers, body) = sent(&content, &gzip).await;
            assert_eq!(headers.contains_key(header::CONTENT_ENCODING), is_packed, "{length}");
            let mut read = String::new();
            if is_packed {
                assert!(body.len() < length / 10);
                flate2::read::GzDecoder::new(&*body).read_to_string(&mut read).unwrap();
            } else {
                read = String::from_utf8(body.to_vec()).unwrap();
            }
            assert_eq!(read, text);
            let (_, plain, body) = sent(&content, &HeaderMap::new()).await;
            assert_eq!((plain.get(header::CONTENT_ENCODING), &*body), (None, text.as_bytes()));
            assert_eq!(plain[header::ETAG], headers[header::ETAG], "one tag for both");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_made_smaller_is_sent_as_it_is() {
        let mut seed = [7_u8; 32];
        let noise = std::iter::repeat_with(|| {
            seed = Sha256::digest(seed).into();
            seed
        });
        let noise: Vec<u8> = noise.take(1_000).flatten().collect();
        let content = Content::new(HeaderValue::from_static("image/png"), noise.clone());
        let (_, headers, body) =
            sent(&content, &asking(&[(header::ACCEPT_ENCODING, "gzip")])).await;
        assert_eq!((headers.get(header::CONTENT_ENCODING), &*body), (None, &*noise));
    }

    #[tokio::test]
    async fn who_has_it_already_gets_nothing() {
        let content = Content::new(HeaderValue::from_static("text/plain"), "all of it");
        let (status, headers, _) = sent(&content, &HeaderMap::new()).await;
        assert_eq!(status, StatusCode::OK);
        let tag = headers[header::ETAG].to_str().unwrap();
        for known in [tag, tag.trim_start_matches("W/"), &format!("\"other\", {tag}"), "*"] {
            let asked = asking(&[(header::IF_NONE_MATCH, known)]);
            let (status, headers, body) = sent(&content, &asked).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(headers[header::ETAG], tag);
            assert_eq!(headers[header::CACHE_CONTROL], "private, no-cache");
        }
        let other = asking(&[(header::IF_NONE_MATCH, "\"other\"")]);
        assert_eq!(sent(&content, &other).await.0, StatusCode::OK);
        let any = asking(&[(header::IF_NONE_MATCH, "*")]);
        assert_eq!(content.response(&any, Keeping::Never).await.status(), StatusCode::OK);
    }
}
