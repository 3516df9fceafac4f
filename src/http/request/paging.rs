//! Lists, page by page.

use serde::Serialize;
use utoipa::ToSchema;

use crate::auth;
use crate::auth::Page;
use crate::domain::ValidationErrors;
use crate::http::response::error::ApiError;

/// Which part of a list is asked for.
pub(in crate::http) struct Paging {
    /// Counted from 1.
    pub(in crate::http) page: i64,
    /// Rows a page.
    pub(in crate::http) per_page: i64,
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Listing<T> {
    data: Vec<T>,
    meta: Meta,
    links: Links,
}

#[derive(Serialize, ToSchema)]
struct Meta {
    #[schema(minimum = 1)]
    current_page: i64,
    #[schema(minimum = 1)]
    last_page: i64,
    #[schema(minimum = 1, maximum = 100)]
    per_page: i64,
    #[schema(minimum = 0)]
    total: i64,
}

#[derive(Serialize, ToSchema)]
struct Links {
    first: String,
    last: String,
    #[schema(required)]
    prev: Option<String>,
    #[schema(required)]
    next: Option<String>,
}

impl Paging {
    /// Reads `page` and `per_page` from a query.
    ///
    /// # Errors
    /// 422 for a number out of range, and for anything else in the query.
    pub(in crate::http) fn read(query: &[(String, String)]) -> Result<Self, ApiError> {
        let (mut page, mut per_page) = (None, None);
        let mut faults = ValidationErrors::new();
        for (key, value) in query {
            let (place, most) = match key.as_str() {
                "page" => (&mut page, 1_000_000_000),
                "per_page" => (&mut per_page, 100),
                _ => {
                    faults.add("query", "The query may hold page and per_page alone.");
                    continue;
                }
            };
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            if number.is_none() || place.replace(number).is_some() {
                let name = key.replace('_', " ");
                let text = format!("The {name} field must be one whole number from 1 to {most}.");
                faults.add(key, text);
            }
        }
        match faults.is_empty() {
            true => Ok(Self {
                page: page.flatten().unwrap_or(1),
                per_page: per_page.flatten().unwrap_or(15),
            }),
            false => Err(auth::Error::Invalid(faults).into()),
        }
    }

    /// The part, as it is answered: each row by `row`, the links under `path`.
    pub(in crate::http) fn listing<'a, T, B>(
        &self,
        path: &str,
        part: &'a Page<T>,
        row: impl Fn(&'a T) -> B,
    ) -> Listing<B> {
        let Self { page, per_page } = *self;
        let last_page = ((part.total + per_page - 1) / per_page).max(1);
        let link = |number: i64| format!("{path}?page={number}&per_page={per_page}");
        Listing {
            data: part.rows.iter().map(row).collect(),
            meta: Meta { current_page: page, last_page, per_page, total: part.total },
            links: Links {
                first: link(1),
                last: link(last_page),
                prev: (page > 1).then(|| link((page - 1).min(last_page))),
                next: (page < last_page).then(|| link(page + 1)),
            },
        }
    }
}

/// The row's number that stands in a path; what is no number is no row's.
pub(in crate::http) fn row_id(text: &str, what: &'static str) -> Result<i64, auth::Error> {
    text.parse().map_err(|_| auth::Error::NotFound(what))
}
