//! Lists, which are answered page by page.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{self, Page};
use crate::domain::ValidationErrors;
use crate::http::response::error::ApiError;

/// The page of a list that a request asks for, as a handler's argument.
pub(crate) struct Paging {
    /// The path of the list, for the links to its other pages.
    path: String,
    /// Counted from 1.
    pub(crate) page: i64,
    /// The most rows on a page.
    pub(crate) per_page: i64,
}

/// The pairs of a request's query, decoded.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Listing<T> {
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

impl FromRequest for Paging {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request))
    }
}

impl Paging {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let (mut page, mut per_page) = (None, None);
        let mut errors = ValidationErrors::new();
        for (key, value) in query_pairs(request.query_string()) {
            let (number, most) = match key.as_str() {
                "page" => (&mut page, 1_000_000_000),
                "per_page" => (&mut per_page, 100),
                _ => {
                    errors.add("query", "The query may have only page and per_page.");
                    continue;
                }
            };
            let parsed = value.parse().ok().filter(|number| (1..=most).contains(number));
            if parsed.is_none() || number.replace(parsed).is_some() {
                let name = key.replace('_', " ");
                let text = format!("The {name} field must be one whole number from 1 to {most}.");
                errors.add(&key, text);
            }
        }
        if !errors.is_empty() {
            return Err(auth::Error::Invalid(errors).into());
        }
        let (page, per_page) = (page.flatten().unwrap_or(1), per_page.flatten().unwrap_or(15));
        Ok(Self { path: request.path().to_owned(), page, per_page })
    }

    /// The answer with this page, whose rows are shown by `row`.
    pub(crate) fn listing<'a, T, B>(
        &self,
        part: &'a Page<T>,
        row: impl Fn(&'a T) -> B,
    ) -> Listing<B> {
        let Self { ref path, page, per_page } = *self;
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
