//! Recording rules: the result of a query under another name.

use luma_promql::{Labels, METRIC_NAME, Sample};

use crate::file::RuleDefinition;
use crate::group::{Context, Made};

/// What a rule makes at a time.
pub(crate) fn evaluate(
    rule: &RuleDefinition,
    context: &Context,
    query_time: i64,
    limit: usize,
) -> Result<Vec<Made>, String> {
    let result = context.vector(&rule.expr, query_time)?;
    if limit > 0 && result.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", result.len()));
    }
    let made = result.into_iter().map(|(labels, value)| Made { labels: renamed(&labels, rule), value });
    let mut made: Vec<Made> = made.collect();
    made.sort_by(|a, b| a.labels.cmp(&b.labels));
    if made.windows(2).any(|two| two[0].labels == two[1].labels) {
        return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
    }
    Ok(made)
}

fn renamed(labels: &Labels, rule: &RuleDefinition) -> Labels {
    let own = rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Labels::new(labels.iter().chain([(METRIC_NAME, rule.name.as_str())]).chain(own))
}

/// A number of a sample, as templates and alerts see it.
pub(crate) fn number(sample: &Sample) -> f64 {
    match sample {
        Sample::Float(value) => *value,
        Sample::Histogram(_) => 0.0,
    }
}
