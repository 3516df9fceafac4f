//! What settings add to answers: with HTTPS, that browsers are to stay with it. Where nothing is
//! set, nothing stands before the routes.

use std::rc::Rc;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpResponse, ResponseError};

/// A year, in which a browser asks by HTTPS alone (RFC 6797).
const STAY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What answers carry beside what their routes give them.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Whether the server speaks HTTPS.
    pub https: bool,
}

impl Extras {
    /// Adds `routes`, and these extras to all their answers.
    pub fn around(self, config: &mut ServiceConfig, routes: impl FnOnce(&mut ServiceConfig)) {
        if !self.https {
            return routes(config);
        }
        let extras = Rc::new(self);
        let add = move |request: ServiceRequest, next: Next<BoxBody>| {
            add(extras.clone(), request, next)
        };
        config.service(web::scope("").configure(routes).wrap(from_fn(add)));
    }

    fn add_to(&self, headers: &mut HeaderMap) {
        if self.https {
            headers.insert(STRICT_TRANSPORT_SECURITY, STAY);
        }
    }
}

async fn add(
    extras: Rc<Extras>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    match next.call(request).await {
        Ok(mut response) => {
            extras.add_to(response.headers_mut());
            Ok(response)
        }
        Err(error) => Err(Refusal { error, extras }.into()),
    }
}

/// What a guard refused, which becomes an answer only further out.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Refusal {
    error: Error,
    extras: Rc<Extras>,
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.extras.add_to(response.headers_mut());
        response
    }
}
