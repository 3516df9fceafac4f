use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Auth, Explanation, Step, Subject};
use crate::config::TrustedProxies;
use crate::domain::{Original, Requirement};
use crate::http::fields::{Abilities, Address, TokenOrId};
use crate::http::openapi::operation::{Operation, tag};
use crate::http::request::body::{JsonBody, body};
use crate::http::request::extract::CurrentToken;
use crate::http::response::error::Answer;
use crate::http::response::json::data;

body! {
    /// A request to an application, and the token that it would be sent with.
    #[schema(examples(json!({"token": 1, "method": "GET", "host": "app.example.org", "uri": "/posts/1"})))]
    struct Question {
        token: Option<TokenOrId>,
        /// The abilities that the query names. All of them are required.
        abilities: Option<Abilities>,
        /// The method of the original request. The default is GET.
        method: Option<String>,
        /// The host of the original request.
        host: Option<String>,
        /// The path and query of the original request. The default is / if the question names another part
        /// of the request.
        uri: Option<String>,
        /// The header `Destination` of the original request, which COPY and MOVE have: a URL or a path.
        destination: Option<String>,
        /// The address of the proxy that asks. The default is the address of a trusted proxy.
        from: Option<Address>,
    }
}

/// The verdict, and the checks that led to it.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
struct ExplanationBody {
    /// Whether the request passes.
    allowed: bool,
    /// The status that `/api/verify` answers.
    status: u16,
    /// The number of the access rule that matched the request's path, counted from 1.
    rule: Option<usize>,
    /// The checks, in their order. All are made, even after one failed.
    checks: Vec<StepBody>,
}

/// One check.
#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
struct StepBody {
    /// The name of the check.
    check: &'static str,
    /// Whether it passed.
    passed: bool,
    /// The reason.
    found: String,
    /// The change that would make it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    remedy: Option<String>,
}

impl From<Explanation> for ExplanationBody {
    fn from(Explanation { allowed, status, rule, checks }: Explanation) -> Self {
        let step =
            |Step { check, passed, found, remedy }| StepBody { check, passed, found, remedy };
        Self { allowed, status, rule, checks: checks.into_iter().map(step).collect() }
    }
}

pub(crate) const EXPLAIN: Operation =
    Operation::new(tag::PROXIES, "explain", "Explain why a request would pass or be refused")
        .details("The token is not marked as used.")
        .reads::<Question>()
        .answers_data::<ExplanationBody>(200);

/// `POST /api/explain`: the answer that `/api/verify` would give, and why.
pub(crate) async fn explain(
    current: CurrentToken,
    request: HttpRequest,
    body: JsonBody,
    auth: Data<Auth>,
) -> Answer {
    let Question { token, abilities, method, host, uri, destination, from } = body.parse()?;
    auth.confirm(&current).await?;
    let abilities = abilities.filter(|all| !all.is_empty());
    let named = abilities.map(Requirement::All).into_iter().collect();
    let original = Original::of(method, host, uri, destination);
    let proxies = request.app_data::<TrustedProxies>();
    let trusted = proxies.is_some_and(|proxies| proxies.include(from));
    let subject = token.unwrap_or(Subject::Nobody);
    let explanation: ExplanationBody =
        auth.explain(subject, named, original.as_ref(), trusted).await?.into();
    Ok(data(StatusCode::OK, explanation))
}
