//! Pages as Relay has them, over those of the read side.

use async_graphql::{Enum, ID, SimpleObject};
use hakken_domain::names::OrganizerId;
use hakken_projections as read;
use hakken_projections::{PageRequest, Slice};

use crate::{auth::Caller, faults::Fault, ids::GlobalId};

/// Most elements of one page.
pub(crate) const MAX_PAGE: i32 = 100;
/// Elements of a page when nothing is said.
const DEFAULT_PAGE: usize = 20;

/// What a page says of its place in the list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// There are more elements behind the last one.
    pub has_next_page: bool,
    /// There are more elements before the first one.
    pub has_previous_page: bool,
    /// The cursor of the first element: give it as `before` to read on backwards.
    pub start_cursor: Option<String>,
    /// The cursor of the last element: give it as `after` to read on.
    pub end_cursor: Option<String>,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum SortOrder {
    /// The oldest.
    OldestFirst,
    /// The newest.
    NewestFirst,
}

/// Relay's arguments.
pub(crate) struct PageArguments {
    pub(crate) first: Option<i32>,
    pub(crate) after: Option<String>,
    pub(crate) last: Option<i32>,
    pub(crate) before: Option<String>,
    pub(crate) order: Option<SortOrder>,
}

/// Checks how many elements are asked for.
pub(crate) fn page_size(argument: &str, size: i32) -> Result<usize, Fault> {
    match usize::try_from(size) {
        Ok(count) if (1..=MAX_PAGE).contains(&size) => Ok(count),
        _ => Err(Fault::argument(argument, format!("a page has 1 to {MAX_PAGE} elements"))),
    }
}

impl PageArguments {
    /// Checks them.
    pub(crate) fn request(self) -> Result<PageRequest, Fault> {
        let (slice, cursor) = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                return Err(Fault::argument("last", "say `first` or `last`, not both"));
            }
            (None, Some(last)) if self.after.is_none() => {
                (Slice::Last(page_size("last", last)?), self.before)
            }
            (None, Some(_)) => {
                return Err(Fault::argument("after", "it goes with `first`; `last` has `before`"));
            }
            (first, None) if self.before.is_none() => {
                let count = first.map_or(Ok(DEFAULT_PAGE), |first| page_size("first", first))?;
                (Slice::First(count), self.after)
            }
            (_, None) => {
                return Err(Fault::argument("before", "it goes with `last`; `first` has `after`"));
            }
        };
        let request = PageRequest { slice, cursor, sort: read::Sort::Ascending };
        Ok(match self.order {
            Some(SortOrder::NewestFirst) => request.newest_first(),
            Some(SortOrder::OldestFirst) | None => request,
        })
    }
}

/// Reads the argument `organizer` of a list: whose elements the caller sees.
pub(crate) fn sees(caller: &Caller, organizer: Option<&ID>) -> Result<Option<OrganizerId>, Fault> {
    let named = organizer.map(|id| argument::<OrganizerId>("organizer", id)).transpose()?;
    caller.sees(named)
}

/// Reads an argument that is a global id.
pub(crate) fn argument<T: GlobalId>(name: &str, id: &ID) -> Result<T, Fault> {
    T::parse(id).map_err(|error| Fault::argument(name, error))
}

/// Makes the types of a list: the connection and its edges.
macro_rules! connection {
    ($($connection:ident, $edge:ident of $node:ident = $doc:literal, $edge_doc:literal;)*) => {
        $(
            #[doc = $doc]
            #[derive(async_graphql::SimpleObject)]
            pub struct $connection {
                /// The elements of the page, each with its cursor.
                pub edges: $crate::schema::pace::Together<$edge>,
                /// Where the page stands in the list.
                pub page_info: $crate::schema::connection::PageInfo,
            }

            #[doc = $edge_doc]
            #[derive(async_graphql::SimpleObject)]
            pub struct $edge {
                /// Its place in the list, which inserts do not move. Opaque: `WzI4XQ`.
                pub cursor: String,
                /// The element.
                pub node: $node,
            }

            impl<T: Into<$node>> From<hakken_projections::Page<T>> for $connection {
                fn from(page: hakken_projections::Page<T>) -> Self {
                    let edges: Vec<$edge> = page
                        .edges
                        .into_iter()
                        .map(|edge| $edge { cursor: edge.cursor, node: edge.node.into() })
                        .collect();
                    let page_info = $crate::schema::connection::PageInfo {
                        has_next_page: page.has_next,
                        has_previous_page: page.has_previous,
                        start_cursor: edges.first().map(|edge| edge.cursor.clone()),
                        end_cursor: edges.last().map(|edge| edge.cursor.clone()),
                    };
                    Self { edges: $crate::schema::pace::Together(edges), page_info }
                }
            }
        )*
    };
}
pub(crate) use connection;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        first: Option<i32>,
        after: Option<&str>,
        last: Option<i32>,
        before: Option<&str>,
    ) -> Result<PageRequest, &'static str> {
        let (after, before) = (after.map(ToOwned::to_owned), before.map(ToOwned::to_owned));
        let arguments = PageArguments { first, after, last, before, order: None };
        arguments.request().map_err(|fault| fault.code())
    }

    #[test]
    fn a_page_goes_forwards_or_backwards_and_is_bounded() {
        assert_eq!(request(None, None, None, None).unwrap().slice, Slice::First(20));
        let forwards = request(Some(5), Some("c"), None, None).unwrap();
        assert_eq!((forwards.slice, forwards.cursor.as_deref()), (Slice::First(5), Some("c")));
        let backwards = request(None, None, Some(5), Some("c")).unwrap();
        assert_eq!((backwards.slice, backwards.cursor.as_deref()), (Slice::Last(5), Some("c")));
        for (first, after, last, before) in [
            (Some(0), None, None, None),
            (Some(101), None, None, None),
            (None, None, Some(-1), None),
            (Some(1), None, Some(1), None),
            (Some(1), None, None, Some("c")),
            (None, Some("c"), Some(1), None),
        ] {
            assert_eq!(request(first, after, last, before).unwrap_err(), "BAD_USER_INPUT");
        }
    }
}
