//! The pages: the demo, and Swagger UI for the description of the API.

mod page;
pub(super) mod pages;
mod swagger_ui;
