//! The pages that browsers show: the demo, and the viewer of the API's description.

mod page;
pub(super) mod pages;
mod swagger_ui;
