//! The metric of how long requests take.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, Route};
use pin_project_lite::pin_project;
use prometheus::Histogram;

use crate::metrics::Metrics;

/// One route's histograms, on one of the server's threads.
pub(crate) struct Timings {
    metrics: Metrics,
    method: &'static str,
    pattern: &'static str,
    /// The histogram of each status so far, which saves a look-up by labels for each request.
    known: RefCell<Vec<(u16, Histogram)>>,
}

impl Timings {
    pub(crate) fn new(metrics: Metrics, method: &'static str, pattern: &'static str) -> Self {
        Self { metrics, method, pattern, known: RefCell::default() }
    }

    fn observe(&self, status: u16, seconds: f64) {
        let mut known = self.known.borrow_mut();
        if let Some((_, histogram)) = known.iter().find(|(known, _)| *known == status) {
            return histogram.observe(seconds);
        }
        let histogram = self.metrics.request_histogram(self.method, self.pattern, status);
        histogram.observe(seconds);
        known.push((status, histogram));
    }
}

/// The methods that are counted by their names. All others are counted as `other`, because a client could
/// otherwise invent labels.
static METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Counts the requests to a route without a guard, under this pattern.
pub(crate) fn counted(route: Route, metrics: &Metrics, pattern: &'static str) -> Route {
    let of = |name| Rc::new(Timings::new(metrics.clone(), name, pattern));
    let (known, other) = (METHODS.each_ref().map(|method| of(method.as_str())), of("other"));
    route.wrap(from_fn(move |request: ServiceRequest, next: Next<BoxBody>| {
        let start = Instant::now();
        let at = METHODS.iter().position(|method| method == request.method());
        let timings = at.map_or(&other, |at| &known[at]).clone();
        Timed::new(next.call(request), start, timings)
    }))
}

pin_project! {
    /// A future answer. Its duration is recorded when it is ready.
    pub struct Timed<F> {
        #[pin]
        answer: F,
        start: Instant,
        timings: Rc<Timings>,
    }
}

impl<F> Timed<F> {
    pub(crate) fn new(answer: F, start: Instant, timings: Rc<Timings>) -> Self {
        Self { answer, start, timings }
    }
}

impl<F, B> Future for Timed<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let status = match &answer {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        this.timings.observe(status.as_u16(), this.start.elapsed().as_secs_f64());
        Poll::Ready(answer)
    }
}
