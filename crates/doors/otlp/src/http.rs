//! `/v1/metrics`: the answer has the form of the request.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use luma_intake::wire::Writer;
use luma_promql::answer::write_text;
use luma_web::compression::unpack;
use luma_web::{Rejected, UNPACKED_FACTOR, body};

use crate::grpc;
use crate::server::{Door, Form, Partial, response};

const PROTOCOL_BUFFERS: &str = "application/x-protobuf";
const JSON: &str = "application/json";

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Self::ProtocolBuffers => PROTOCOL_BUFFERS,
            Self::Json => JSON,
        }
    }
}

pub(crate) async fn metrics(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let form = match kind.split(';').next().unwrap_or_default().trim() {
        PROTOCOL_BUFFERS => Form::ProtocolBuffers,
        JSON => Form::Json,
        _ => {
            door.failed();
            let what = format!("unsupported content type: {kind}, supported: [{JSON}, {PROTOCOL_BUFFERS}]\n");
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, what).into_response();
        }
    };
    let (status, body) = match stored(&door, form, parts, body).await {
        Ok(partial) => (
            StatusCode::OK,
            match form {
                Form::ProtocolBuffers => response(partial.as_ref()),
                Form::Json => response_as_json(partial.as_ref()).into_bytes(),
            },
        ),
        Err(rejected) => {
            door.failed();
            (rejected.status, status(form, &rejected))
        }
    };
    (status, [(header::CONTENT_TYPE, form.media_type())], body).into_response()
}

async fn stored(door: &Door, form: Form, parts: Parts, body: Body) -> Result<Option<Partial>, Rejected> {
    let mut room = door.room();
    let body = body::whole(&parts.headers, body, door.options().request_bytes_max, &mut room).await?;
    // How long it is unpacked nobody says.
    let bytes = body.len().saturating_mul(UNPACKED_FACTOR);
    let unpacked = move |limit| {
        let message = unpack(&parts.headers, &body, limit);
        drop((body, room));
        message
    };
    door.store(form, bytes, unpacked).await
}

fn response_as_json(partial: Option<&Partial>) -> String {
    let Some(Partial { refused, what }) = partial else { return "{}".to_owned() };
    // Numbers of 64 bits are texts in this form.
    let mut out = format!("{{\"partialSuccess\":{{\"rejectedDataPoints\":\"{refused}\",\"errorMessage\":");
    write_text(what, &mut out);
    out + "}}"
}

/// A status as gRPC has it, in the form of the request.
fn status(form: Form, rejected: &Rejected) -> Vec<u8> {
    let code = grpc::code(rejected.status);
    match form {
        Form::ProtocolBuffers => {
            let mut message = Writer::default();
            message.unsigned(1, u64::from(code));
            message.text(2, &rejected.what);
            message.0
        }
        Form::Json => {
            let mut out = format!("{{\"code\":{code},\"message\":");
            write_text(&rejected.what, &mut out);
            (out + "}").into_bytes()
        }
    }
}
