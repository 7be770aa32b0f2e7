//! `format_query` and `parse_query`.

mod tree;

use luma_promql::answer::write_text;
use luma_promql::parse;

use crate::params::Params;
use crate::reply::{Failure, Success};
use crate::server::Door;

pub(crate) async fn formatted(_: Door, params: Params) -> Result<Success, Failure> {
    let expr = parse(params.get("query")).map_err(|error| Failure::parameter("query", error))?;
    let mut data = String::new();
    write_text(&expr.pretty(), &mut data);
    Ok(Success::of(data))
}

pub(crate) async fn parsed(_: Door, params: Params) -> Result<Success, Failure> {
    let expr = parse(params.get("query")).map_err(|error| Failure::parameter("query", error))?;
    let mut data = String::new();
    tree::write(&expr, &mut data);
    Ok(Success::of(data))
}
