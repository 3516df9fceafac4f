//! Tells a connection's record about its requests: when each begins and ends, and whether its handler waits
//! for a body. Also sends long answers in pieces, so that a client that does not read holds one piece and not
//! the whole answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::header::TRANSFER_ENCODING;
use actix_http::{Payload, Request, Response, StatusCode};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory, map_config};
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::web::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::record::Record;

/// The longest piece of an answer. Together with what waits already, it fits into the library's buffer of
/// 8 KiB, which so never grows.
pub(super) const PIECE: usize = 4096;

/// Watches the requests of an application, whose answers are then sent in pieces.
///
/// A connection of HTTP/2 may have `most` open requests. Its first is always served. The others take a place
/// of `extra`, which all connections share, because each costs several kilobytes. More requests are answered
/// with 503. With HTTP/1 there is one at a time.
pub(super) fn watch<F>(
    application: impl IntoServiceFactory<F, Request>,
    most: u32,
    extra: Arc<Semaphore>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = Response<Body>,
    Error = actix_web::Error,
    InitError = F::InitError,
    Service: Service<Request, Future: 'static>,
    Future: 'static,
>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse> + 'static,
    F: ServiceFactory<Request, Error = actix_web::Error, Service: 'static, Future: 'static>,
{
    let application = map_config(application, |()| AppConfig::default());
    apply_fn_factory(application, move |mut request: Request, application: &F::Service| {
        let open = request.conn_data::<Arc<Record>>().map(|record| {
            let count = record.begin(request.head().headers().contains_key(TRANSFER_ENCODING));
            let may_have_place = (2..=most).contains(&count);
            let place = may_have_place.then(|| extra.clone().try_acquire_owned().ok()).flatten();
            let is_served = count == 1 || place.is_some();
            (Open { record: record.clone(), _place: place }, is_served)
        });
        let is_served = open.as_ref().is_none_or(|(_, is_served)| *is_served);
        let open = open.map(|(open, _)| open);
        if let Some(Open { record, .. }) = &open
            && !matches!(request.payload(), Payload::None)
        {
            let inner = request.take_payload();
            let watched = WatchedPayload { inner, record: record.clone(), waits: false };
            *request.payload() = Payload::Stream { payload: Box::pin(watched) };
        }
        let answer = is_served.then(|| application.call(request));
        async move {
            let response = match answer {
                Some(answer) => answer.await?.into(),
                None => Response::with_body(StatusCode::SERVICE_UNAVAILABLE, BoxBody::new(())),
            };
            Ok(response.map_body(|_, body| Body::new(body, open)))
        }
    })
}

/// An open request.
struct Open {
    record: Arc<Record>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.record.end();
    }
}

/// A request's body, which tells whether its handler waits for it.
struct WatchedPayload {
    inner: Payload,
    record: Arc<Record>,
    waits: bool,
}

impl WatchedPayload {
    fn set_waits(&mut self, waits: bool) {
        if std::mem::replace(&mut self.waits, waits) != waits {
            self.record.read_body(waits);
        }
    }
}

impl Stream for WatchedPayload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = Pin::new(&mut self.inner).poll_next(cx);
        self.set_waits(read.is_pending());
        if let Poll::Ready(Some(Ok(bytes))) = &read {
            self.record.deliver(bytes.len());
        }
        read
    }
}

impl Drop for WatchedPayload {
    fn drop(&mut self) {
        self.set_waits(false);
    }
}

/// An answer's body. The request is open until it is dropped.
pub(super) struct Body {
    content: Content,
    open: Option<Open>,
}

enum Content {
    Pieces(Bytes),
    Other(BoxBody),
}

impl Body {
    fn new(body: BoxBody, open: Option<Open>) -> Self {
        if let Some(Open { record, .. }) = &open {
            record.answer(true);
        }
        let content = match body.size() {
            // A body that is none has a size that differs from that of an empty one.
            BodySize::None | BodySize::Stream => Content::Other(body),
            BodySize::Sized(_) => {
                body.try_into_bytes().map_or_else(Content::Other, Content::Pieces)
            }
        };
        Self { content, open }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(Open { record, .. }) = &self.open {
            record.answer(false);
        }
    }
}

impl MessageBody for Body {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match &self.content {
            Content::Pieces(bytes) => BodySize::Sized(bytes.len() as u64),
            Content::Other(body) => body.size(),
        }
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        match &mut self.content {
            Content::Pieces(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Pieces(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                Poll::Ready(Some(Ok(piece)))
            }
            Content::Other(body) => Pin::new(body).poll_next(cx),
        }
    }
}
