//! Which of the two media types an answer has, and what that means for its status.

use axum::http::{HeaderValue, StatusCode};

/// A media type of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphQl,
    /// `application/json`: 200 for everything that is a GraphQL request.
    Json,
}

impl Media {
    /// The best of what the client accepts; none if it accepts neither. Who does not say gets
    /// `application/json`.
    pub(crate) fn negotiate(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Some(Self::Json);
        };
        let mut best: Option<(Self, f32)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/graphql-response+json" => Self::GraphQl,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
            if weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
                best = Some((media, weight));
            }
        }
        best.map(|(media, _)| media)
    }

    /// As the header says it.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphQl => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }

    /// The status of a request that was refused before it was executed.
    pub(crate) fn status_of(self, code: &str) -> StatusCode {
        match code {
            "BAD_REQUEST" => StatusCode::BAD_REQUEST,
            _ => self.request_error(),
        }
    }

    /// The status of a well-formed request that was not executed.
    pub(crate) fn request_error(self) -> StatusCode {
        match self {
            Self::GraphQl => StatusCode::BAD_REQUEST,
            Self::Json => StatusCode::OK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_media_type_wins_and_the_first_among_equals() {
        let media = |accept| Media::negotiate(Some(accept));
        assert_eq!(Media::negotiate(None), Some(Media::Json));
        assert_eq!(media("*/*"), Some(Media::Json));
        assert_eq!(media("application/graphql-response+json"), Some(Media::GraphQl));
        assert_eq!(
            media("application/graphql-response+json, application/json;q=0.9"),
            Some(Media::GraphQl)
        );
        assert_eq!(
            media("application/graphql-response+json;q=0.5, application/json"),
            Some(Media::Json)
        );
        assert_eq!(media("application/json, multipart/mixed"), Some(Media::Json));
        assert_eq!(media("text/plain"), None);
        assert_eq!(media("application/json;q=0"), None);
    }
}
