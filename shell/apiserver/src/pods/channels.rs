//! Streams of a program over WebSocket, as `v5.channel.k8s.io` and `v4.channel.k8s.io` number them (KEP-4006).

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, Response, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ExecOptions, Exit, Input, Output, Session, Wanted, nodes};
use crate::refusal::Refusal;
use crate::respond::success;
use crate::reviews::Asker;

/// The protocols, the best first; v5 alone can tell that standard input ended.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

fn header<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Starts a program and hands its streams on.
pub(super) async fn exec(
    asker: &Asker<'_>,
    pod: &Value,
    wanted: &Wanted,
    parts: &Parts,
) -> Result<Response<Body>, Refusal> {
    let container = wanted.container(pod)?;
    let command = wanted.0.get("command").cloned().unwrap_or_default();
    if command.is_empty() {
        return Err(Refusal::BadRequest("you must specify at least 1 command for the container".to_owned()));
    }
    let statuses = ["containerStatuses", "initContainerStatuses"].map(|field| &pod["status"][field]);
    let mut statuses = statuses.into_iter().filter_map(Value::as_array).flatten();
    let running =
        |status: &Value| status["name"] == container.as_str() && status["state"]["running"].is_object();
    if !statuses.any(running) {
        return Err(Refusal::BadRequest(format!("container {container} is not running")));
    }
    if !header(&parts.headers, &header::UPGRADE).eq_ignore_ascii_case("websocket") {
        return Err(Refusal::BadRequest(format!(
            "programs are run over WebSocket ({}) alone: use kubectl 1.31 or later",
            PROTOCOLS.join(", ")
        )));
    }
    let nodes = nodes(asker, pod)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts.clone(), &()).await;
    let upgrade = upgrade.map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let options = ExecOptions { command, stdin: wanted.says("stdin"), tty: wanted.says("tty") };
    let session = nodes.exec(pod, &container, options).map_err(Refusal::BadRequest)?;
    Ok(upgrade.protocols(PROTOCOLS).on_upgrade(|socket| converse(socket, session)).into_response())
}

async fn converse(socket: WebSocket, session: Session) {
    let Session { input, mut output } = session;
    let (mut to, mut from) = socket.split();
    let hear = async {
        while let Some(Ok(message)) = from.next().await {
            let told = match message {
                Message::Binary(bytes) => heard(&bytes),
                Message::Close(_) => break,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) => None,
            };
            if let Some(told) = told
                && input.send(told).await.is_err()
            {
                // It ended; what it is told now nobody reads.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = hear => {}
        () = say(&mut output, &mut to) => {}
    }
    // COMPAT: clients take everything but a normal close for an error. A peer that is gone needs none.
    let close = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    let _gone = to.send(Message::Close(Some(close))).await;
}

fn heard(bytes: &Bytes) -> Option<Input> {
    let (channel, rest) = bytes.split_first()?;
    match (*channel, rest) {
        (STDIN, rest) => Some(Input::Bytes(bytes.slice_ref(rest))),
        (CLOSE, [STDIN]) => Some(Input::End),
        (RESIZE, rest) => {
            let size: Value = serde_json::from_slice(rest).ok()?;
            let length = |name: &str| size[name].as_u64().and_then(|length| u16::try_from(length).ok());
            Some(Input::Size(length("Width")?, length("Height")?))
        }
        _ => None,
    }
}

async fn say(output: &mut mpsc::Receiver<Output>, to: &mut SplitSink<WebSocket, Message>) {
    while let Some(said) = output.recv().await {
        let (channel, bytes, last) = match said {
            Output::Out(bytes) => (STDOUT, bytes, false),
            Output::Err(bytes) => (STDERR, bytes, false),
            Output::End(exit) => (ERROR, Bytes::from(status(&exit).to_string()), true),
        };
        let message = [&[channel], &bytes[..]].concat();
        if to.send(Message::Binary(message.into())).await.is_err() || last {
            return;
        }
    }
}

/// COMPAT: how clients learn a program's exit code.
fn status(exit: &Exit) -> Value {
    let failure = |reason: &str, message: String| json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "message": message});
    match exit {
        Exit::Code(0) => success(),
        Exit::Code(code) => {
            let message = format!("command terminated with non-zero exit code: exit status {code}");
            let mut status = failure("NonZeroExitCode", message);
            status["details"] = json!({"causes": [{"reason": "ExitCode", "message": code.to_string()}]});
            status
        }
        Exit::Failed(why) => {
            let mut status = failure("InternalError", why.clone());
            status["code"] = json!(500);
            status
        }
    }
}
