//! What can be asked for, who may ask, and with which headers it is answered.
//!
//! Guarantees: only GET and HEAD, under names that were given, without a body; each answer
//! forbids all that a page does not need; the stream of events has numbers only.

use super::filter::{Filter, Refused};
use super::hosts::Hosts;
use super::snapshot::Snapshot;
use super::views::{self, Place};
use super::watch::{View, Watch};
use crate::ledger::{Entry, Seen};
use crate::report::history::End;
use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Browsers that are kept up to date at once.
const STREAMS_MAX: usize = 32;
/// Looks for one challenge's verdict at once: each reads the ledger.
const LOOKS_MAX: usize = 2;
/// Longest path and query, bytes.
const TARGET_BYTES_MAX: usize = 2048;
/// How often a stream looks for changes.
const LOOK: Duration = Duration::from_secs(1);
/// How often a stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What all requests share.
#[derive(Clone)]
pub(super) struct Dashboard {
    watch: Arc<Watch>,
    hosts: Arc<Hosts>,
    place: Arc<str>,
    streams: Arc<Semaphore>,
    looks: Arc<Semaphore>,
}

impl Dashboard {
    pub(super) fn new(watch: Arc<Watch>, hosts: Hosts, place: String) -> Self {
        Self {
            watch,
            hosts: Arc::new(hosts),
            place: place.into(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        }
    }

    /// All that is served.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/", get(overview))
            .route("/miners", get(miners))
            .route("/miner/{key}", get(miner))
            .route("/devices", get(devices))
            .route("/device/{uuid}", get(device))
            .route("/rates", get(rates))
            .route("/challenge/{c}", get(challenge))
            .route("/events", get(events))
            .fallback(nothing)
            .layer(from_fn_with_state(self.clone(), guard))
            .with_state(self)
    }

    /// What is known now, read as the URL asks.
    async fn asked(&self, query: Option<String>) -> Result<(View, Filter), Response> {
        match Filter::read(query.as_deref().unwrap_or_default()) {
            Ok(filter) => Ok((self.watch.fresh().await, filter)),
            Err(Refused { what, advice }) => {
                Err(page(StatusCode::BAD_REQUEST, &views::refusal(&self.place, &what, advice)))
            }
        }
    }

    async fn answer(
        self,
        query: Option<String>,
        place: Place,
        view: fn(&Snapshot, &Filter, &Place) -> Option<maud::Markup>,
    ) -> Response {
        let (known, filter) = match self.asked(query).await {
            Ok(asked) => asked,
            Err(refused) => return refused,
        };
        match view(&known.snapshot, &filter, &place) {
            Some(body) => {
                let whole = views::whole(&self.place, &known, &filter, &place, &body);
                page(StatusCode::OK, &whole)
            }
            None => page(StatusCode::NOT_FOUND, &views::not_found(&self.place)),
        }
    }
}

fn page(status: StatusCode, html: &str) -> Response {
    (status, Html(html.to_owned())).into_response()
}

type Here = State<Dashboard>;

async fn overview(State(here): Here, RawQuery(query): RawQuery) -> Response {
    here.answer(query, Place::Overview, views::overview).await
}

async fn miners(State(here): Here, RawQuery(query): RawQuery) -> Response {
    here.answer(query, Place::Miners, views::miners).await
}

async fn devices(State(here): Here, RawQuery(query): RawQuery) -> Response {
    here.answer(query, Place::Devices, views::devices).await
}

async fn rates(State(here): Here, RawQuery(query): RawQuery) -> Response {
    here.answer(query, Place::Rates, views::rates).await
}

async fn miner(State(here): Here, Path(key): Path<String>, RawQuery(query): RawQuery) -> Response {
    match key.parse() {
        Ok(key) => here.answer(query, Place::Miner(key), views::miner).await,
        Err(_) => nothing(State(here)).await,
    }
}

async fn device(
    State(here): Here,
    Path(uuid): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match super::filter::uuid(&uuid) {
        Some(uuid) => here.answer(query, Place::Device(uuid), views::device).await,
        None => nothing(State(here)).await,
    }
}

/// One challenge, with its verdict from the ledger.
async fn challenge(State(here): Here, Path(c): Path<String>) -> Response {
    let Ok(c) = c.parse() else { return nothing(State(here)).await };
    // The semaphore is never closed.
    let Ok(_turn) = here.looks.acquire().await else { return nothing(State(here)).await };
    let ledger = here.watch.ledger();
    let looked = tokio::task::spawn_blocking(move || ledger.show(&c)).await;
    let known = here.watch.fresh().await;
    let found: Option<(Entry, Vec<Seen>)> = match looked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            let text = error.to_string();
            let (what, advice) = text.split_once('\n').unwrap_or((&text, ""));
            let html = views::refusal(&here.place, what, advice);
            return page(StatusCode::SERVICE_UNAVAILABLE, &html);
        }
        Err(_) => None,
    };
    match found {
        Some((entry, devices)) => {
            let body = views::challenge(&known.snapshot, &entry, &devices);
            let filter = Filter::default();
            let place = Place::Challenge(c);
            page(StatusCode::OK, &views::whole(&here.place, &known, &filter, &place, &body))
        }
        None => page(StatusCode::NOT_FOUND, &views::not_found(&here.place)),
    }
}

async fn nothing(State(here): Here) -> Response {
    page(StatusCode::NOT_FOUND, &views::not_found(&here.place))
}

/// Numbers that change as the ledger does; a page asks for itself again then.
async fn events(State(here): Here) -> Response {
    let Ok(place) = here.streams.try_acquire_owned() else {
        let text =
            "too many browsers are kept up to date\nClose some, or reload the page now and then.\n";
        let after = [(header::RETRY_AFTER, "30")];
        return (StatusCode::SERVICE_UNAVAILABLE, after, text).into_response();
    };
    let state = Stream { watch: here.watch, last: None, _place: place };
    let changes = stream::unfold(state, async |mut state| {
        let event = state.next().await;
        Some((Ok::<_, Infallible>(event), state))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("here");
    Sse::new(changes).keep_alive(keep_alive).into_response()
}

/// One browser's stream.
struct Stream {
    watch: Arc<Watch>,
    /// What it was told last: the revision, and whether the ledger was lost.
    last: Option<(u64, bool)>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn next(&mut self) -> Event {
        loop {
            let View { snapshot, lost } = self.watch.fresh().await;
            let now = (snapshot.revision, lost.is_some());
            if self.last != Some(now) {
                self.last = Some(now);
                let data = json!({
                    "revision": now.0.to_string(), "lost": now.1,
                    "under_way": snapshot.count(End::Open), "verified": snapshot.count(End::Verified),
                    "rejected": snapshot.count(End::Rejected), "expired": snapshot.count(End::Expired),
                });
                return Event::default().event("state").data(data.to_string());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Who may ask, and what is said with each answer.
async fn guard(State(here): Here, request: Request, next: Next) -> Response {
    let mut response = match refused(&here.hosts, &request) {
        Some((status, text)) => (status, text).into_response(),
        None => next.run(request).await,
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    add_headers(response.headers_mut());
    response
}

/// Why a request is not answered, in two lines.
fn refused(hosts: &Hosts, request: &Request) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let is_known = |host: &str| hosts.answers(host);
    if !host.is_some_and(is_known) || named.next().is_some() || !authority.is_none_or(is_known) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "this dashboard does not answer under that name\nOpen the address that it printed, or start it with --host NAME.\n",
        ));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Some((
            StatusCode::METHOD_NOT_ALLOWED,
            "this dashboard is only read\nAsk with GET or HEAD.\n",
        ));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
    {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "the request has a body\nSend none.\n"));
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > TARGET_BYTES_MAX {
        return Some((
            StatusCode::URI_TOO_LONG,
            "the address is too long\nUse fewer filters, or shorter ones.\n",
        ));
    }
    None
}

fn add_headers(headers: &mut HeaderMap) {
    const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
    const RESOURCES: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    const OPENERS: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    let said = [
        (header::CONTENT_SECURITY_POLICY, views::policy()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=()"),
        (RESOURCES, "same-origin"),
        (OPENERS, "same-origin"),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
