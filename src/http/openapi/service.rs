//! The operations that are about the server itself.

use utoipa::ToSchema;

use super::operation::Operation;
use crate::auth::Error;

pub(super) const TAG: &str = "service";

pub(in crate::http) const ALIVE: Operation =
    Operation::new(TAG, "healthz", "Whether the process answers").answers_text();

pub(in crate::http) const READY: Operation =
    Operation::new(TAG, "readyz", "Whether the database answers too")
        .answers_text()
        .refuses(&[|| Error::Busy.into(), || Error::Unavailable(String::new()).into()]);

pub(in crate::http) const METRICS: Operation =
    Operation::new(TAG, "metrics", "What was counted, for Prometheus").answers_text();

pub(in crate::http) const DESCRIPTION: Operation =
    Operation::new(TAG, "openapi", "This description").answers::<Description>(200);

/// An OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the derived schema alone")]
struct Description {
    #[schema(pattern = r"^3\.1\.\d+$")]
    openapi: String,
    info: serde_json::Map<String, serde_json::Value>,
    paths: serde_json::Map<String, serde_json::Value>,
    components: serde_json::Map<String, serde_json::Value>,
}
