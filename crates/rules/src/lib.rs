//! Recording and alerting rules from Prometheus' rule files, and notification of Alertmanager.
//!
//! - [`RuleFile`] reads a file of groups and says what is wrong with it.
//! - [`Group`] evaluates its rules at a time: samples go into the store, alerts change their state.
//! - [`Manager`] does so for all groups, each at its interval, and tells Alertmanager.
//! - [`Template`] is Go's text template with Prometheus' functions, for labels and annotations.

mod alert;
mod alertmanagers;
mod answer;
mod file;
mod group;
mod manager;
mod notify;
mod record;
mod settings;
mod template;

pub use alert::{Alert, AlertState};
pub use alertmanagers::Alertmanagers;
pub use answer::Filter;
pub use file::{Definition, GroupDefinition, RuleDefinition, RuleFile};
pub use group::{Context, Group};
pub use manager::{Configuration, Manager};
pub use notify::{Counted, Notification, Notifier};
pub use settings::Settings;
pub use template::{Query, Scope, Template, Value};
