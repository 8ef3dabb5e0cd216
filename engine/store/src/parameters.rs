//! System parameters: typed, bounded, local to one open store. One of them is kept, see [`crate::scopes`].

use std::sync::Arc;
use std::time::Duration;

use ditto_value::{Object, Value};
use parking_lot::RwLock;

use crate::durability::Durability;
use crate::error::{ParameterError, ParameterProblem};
use crate::observer::DEFAULT_MEMORY_BYTES;
use crate::scopes::{self, Scopes};
use crate::statements::DEFAULT_CACHE_STATEMENTS;
use crate::writer::Limits;

/// What values a parameter takes.
#[derive(Clone, Copy, Debug)]
enum Domain {
    Bool(bool),
    Integer {
        default: i64,
        min: i64,
        max: i64,
    },
    /// Milliseconds.
    Duration {
        default: i64,
        min: i64,
        max: i64,
    },
    /// An object, empty by default, replaced as a whole.
    Object,
    /// A scope for each of some collections.
    Scopes,
    /// An array, empty by default.
    Array,
}

struct Parameter {
    /// In lower case, as SHOW prints it.
    name: &'static str,
    domain: Domain,
    /// Of one that this version does not follow, or not in all: what that means for who sets it.
    not_followed: Option<&'static str>,
}

impl Parameter {
    const fn new(name: &'static str, domain: Domain) -> Self {
        Self { name, domain, not_followed: None }
    }

    const fn not_followed(mut self, meaning: &'static str) -> Self {
        self.not_followed = Some(meaning);
        self
    }
}

const fn boolean(name: &'static str, default: bool) -> Parameter {
    Parameter::new(name, Domain::Bool(default))
}

const fn integer(name: &'static str, default: i64, min: i64, max: i64) -> Parameter {
    Parameter::new(name, Domain::Integer { default, min, max })
}

const fn duration(name: &'static str, default: i64, min: i64, max: i64) -> Parameter {
    Parameter::new(name, Domain::Duration { default, min, max })
}

const fn object(name: &'static str) -> Parameter {
    Parameter::new(name, Domain::Object)
}

const GIB: i64 = 1 << 30;

/// Every parameter, sorted by name.
static REGISTRY: &[Parameter] = &[
    integer("days_between_reaping", 1, 1, 365),
    integer("document_size_hard_limit_bytes", 5 << 20, 1024, GIB),
    integer("document_size_soft_limit_bytes", 256 << 10, 1024, GIB),
    object("dql_default_directives"),
    integer("dql_request_timeout_seconds", 0, 0, 86_400),
    boolean("dql_restrict_subscriptions", true)
        .not_followed("subscriptions with ORDER BY or LIMIT are refused all the same"),
    integer("dql_slow_request_warn_seconds", 60, 0, 86_400),
    boolean("dql_strict_mode", false),
    // A mutating statement returns when its commit survives a loss of power, not only the end of the process.
    boolean("durable_commits", false),
    boolean("enable_reaper_preferred_hour_scheduling", false),
    // How old a grave must be to be removed; 0: none is.
    integer("grave_ttl_days", 0, 0, 36_500),
    duration("live_query_system_collection_refresh_interval", 500, 10, 3_600_000),
    integer("mesh_chooser_max_wlan_connections", 6, 0, 64)
        .not_followed("the number of connections is not limited by it"),
    integer("observer_memory_bytes", DEFAULT_MEMORY_BYTES as i64, 0, 64 * GIB),
    integer("reaper_preferred_hour", 3, 0, 23),
    integer("record_cache_size_bytes", ditto_storage::DEFAULT_CACHE_BYTES as i64, 0, 64 * GIB),
    // How long there must have been no session before the next one begins a new run.
    duration("run_after_pause_ms", 600_000, 0, 86_400_000),
    integer("statement_cache_size", DEFAULT_CACHE_STATEMENTS as i64, 0, 1_000_000),
    integer("tombstone_reap_batch_size", 10_000, 1, 1_000_000),
    boolean("tombstone_ttl_enabled", true),
    integer("tombstone_ttl_hours", 168, 1, 87_600),
    duration("transaction_duration_before_logging_ms", 10_000, 1, 3_600_000),
    duration("transaction_trace_interval_ms", 5_000, 1, 3_600_000),
    // 0: wait for ever.
    duration("transaction_wait_timeout_ms", 60_000, 0, 86_400_000),
    Parameter::new("transports_discovered_peers", Domain::Array)
        .not_followed("nobody is dialled: add the addresses to the transport configuration"),
    Parameter::new(scopes::PARAMETER, Domain::Scopes),
];

impl Domain {
    fn default(self) -> Value {
        match self {
            Self::Bool(default) => Value::Bool(default),
            Self::Integer { default, .. } | Self::Duration { default, .. } => Value::Int(default),
            Self::Object | Self::Scopes => Value::Object(Object::new()),
            Self::Array => Value::Array(Vec::new()),
        }
    }

    fn check(self, value: &Value) -> Result<(), ParameterProblem> {
        match (self, value) {
            (Self::Bool(_), Value::Bool(_))
            | (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_)) => Ok(()),
            (Self::Integer { min, max, .. } | Self::Duration { min, max, .. }, Value::Int(number)) => {
                if (min..=max).contains(number) {
                    Ok(())
                } else {
                    Err(ParameterProblem::OutOfBounds { found: number.to_string(), min, max })
                }
            }
            (Self::Integer { min, max, .. } | Self::Duration { min, max, .. }, Value::UInt(number)) => {
                Err(ParameterProblem::OutOfBounds { found: number.to_string(), min, max })
            }
            (Self::Scopes, value) => Scopes::of(value).map(drop),
            _ => Err(ParameterProblem::WrongKind { expected: self.kind(), found: kind_of(value) }),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer { .. } => "an integer",
            Self::Duration { .. } => "a duration in integer milliseconds",
            Self::Object | Self::Scopes => "an object",
            Self::Array => "an array",
        }
    }
}

/// The kind of a value in the words of an error message.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Bytes(_) => "binary data",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The parameters that every statement reads, kept apart from the registry so that reading costs a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub strict: bool,
    pub durability: Durability,
    pub soft_limit: usize,
    pub hard_limit: usize,
    pub record_cache: usize,
    /// Another one after every change of a parameter.
    pub revision: u64,
    pub statement_cache: usize,
    pub observer_memory: usize,
    /// How long a statement may run; 0 for ever.
    pub request_timeout_ms: u64,
    /// When a statement is slow; 0 for never.
    pub slow_request_ms: u64,
}

struct State {
    /// Beside [`REGISTRY`].
    values: Vec<Value>,
    settings: Settings,
    scopes: Arc<Scopes>,
    /// Another one after every change of the scopes.
    scopes_revision: u64,
}

impl State {
    /// Follows what has changed in `values`.
    fn refresh(&mut self) {
        self.settings = settings_of(&self.values, self.settings.revision + 1);
        let value = find(scopes::PARAMETER).ok().and_then(|index| self.values.get(index));
        // Only what passed the check gets there.
        let scopes = value.and_then(|value| Scopes::of(value).ok()).unwrap_or_default();
        if scopes != *self.scopes {
            self.scopes = Arc::new(scopes);
            self.scopes_revision += 1;
        }
    }
}

/// The current value of every parameter of one store.
pub(crate) struct Parameters(RwLock<State>);

impl Parameters {
    /// The defaults, but for what the options of the store say and what it has kept.
    pub(crate) fn new(durability: Durability, scopes: &Scopes) -> Self {
        let mut values: Vec<Value> = REGISTRY.iter().map(|parameter| parameter.domain.default()).collect();
        if let Some(durable) = find("durable_commits").ok().and_then(|index| values.get_mut(index)) {
            *durable = Value::Bool(durability == Durability::Immediate);
        }
        if let Some(kept) = find(scopes::PARAMETER).ok().and_then(|index| values.get_mut(index)) {
            *kept = scopes.value();
        }
        let settings = settings_of(&values, 0);
        let mut state = State { values, settings, scopes: Arc::default(), scopes_revision: 0 };
        state.refresh();
        Self(RwLock::new(state))
    }

    pub(crate) fn settings(&self) -> Settings {
        self.0.read().settings
    }

    /// With whom collections are synced, and a number that is another one after every change of that.
    pub(crate) fn scopes(&self) -> (Arc<Scopes>, u64) {
        let state = self.0.read();
        (Arc::clone(&state.scopes), state.scopes_revision)
    }

    /// The current value; names are case-insensitive.
    pub(crate) fn get(&self, name: &str) -> Result<(&'static str, Value), ParameterError> {
        let index = find(name)?;
        let state = self.0.read();
        match (REGISTRY.get(index), state.values.get(index)) {
            (Some(parameter), Some(value)) => Ok((parameter.name, value.clone())),
            _ => Err(unknown(name)),
        }
    }

    /// The name of a parameter as it is shown, and the value that it would get (`None`: its default).
    pub(crate) fn check(
        &self,
        name: &str,
        value: Option<Value>,
    ) -> Result<(&'static str, Value), ParameterError> {
        let parameter = REGISTRY.get(find(name)?).ok_or_else(|| unknown(name))?;
        let Some(value) = value else { return Ok((parameter.name, parameter.domain.default())) };
        let problem = |problem| ParameterError { name: name.to_string(), problem };
        parameter.domain.check(&value).map_err(problem)?;
        let value = match parameter.domain {
            Domain::Scopes => Scopes::of(&value).map_err(problem)?.value(),
            _ => value,
        };
        Ok((parameter.name, value))
    }

    /// Sets a parameter (`None`: to its default) and answers with its name and new value.
    pub(crate) fn set(
        &self,
        name: &str,
        value: Option<Value>,
    ) -> Result<(&'static str, Value), ParameterError> {
        let (_, value) = self.check(name, value)?;
        let index = find(name)?;
        let parameter = REGISTRY.get(index).ok_or_else(|| unknown(name))?;
        if let Some(meaning) = parameter.not_followed
            && value != parameter.domain.default()
        {
            tracing::warn!("this version does not follow the system parameter {}: {meaning}", parameter.name);
        }
        let mut state = self.0.write();
        if let Some(slot) = state.values.get_mut(index) {
            slot.clone_from(&value);
        }
        state.refresh();
        Ok((parameter.name, value))
    }

    /// A parameter that is a number; 0 if there is no such.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).ok().and_then(|(_, value)| value.as_u64()).unwrap_or_default()
    }

    /// A duration.
    pub(crate) fn milliseconds(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// When a transaction is long, and how long others wait for it.
    pub(crate) fn writer_limits(&self) -> Limits {
        Limits {
            report_after: self.number("transaction_duration_before_logging_ms"),
            report_every: self.number("transaction_trace_interval_ms"),
            give_up_after: self.number("transaction_wait_timeout_ms"),
        }
    }

    pub(crate) fn reset_all(&self) {
        let mut state = self.0.write();
        state.values = REGISTRY.iter().map(|parameter| parameter.domain.default()).collect();
        state.refresh();
    }

    /// All parameters that have another value than their default.
    pub(crate) fn changed(&self) -> Object {
        let state = self.0.read();
        REGISTRY
            .iter()
            .zip(&state.values)
            .filter(|(parameter, value)| parameter.domain.default() != **value)
            .map(|(parameter, value)| (parameter.name.to_string(), value.clone()))
            .collect()
    }

    /// All parameters whose name `matches`.
    pub(crate) fn list(&self, matches: impl Fn(&str) -> bool) -> Object {
        let state = self.0.read();
        REGISTRY
            .iter()
            .zip(&state.values)
            .filter(|(parameter, _)| matches(parameter.name))
            .map(|(parameter, value)| (parameter.name.to_string(), value.clone()))
            .collect()
    }
}

fn unknown(name: &str) -> ParameterError {
    ParameterError { name: name.to_string(), problem: ParameterProblem::Unknown }
}

fn find(name: &str) -> Result<usize, ParameterError> {
    let lower = name.to_ascii_lowercase();
    REGISTRY.binary_search_by(|parameter| parameter.name.cmp(&lower)).map_err(|_| unknown(name))
}

fn settings_of(values: &[Value], revision: u64) -> Settings {
    let value = |name: &str| find(name).ok().and_then(|index| values.get(index));
    let size = |name: &str| match value(name) {
        Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let seconds = |name: &str| match value(name) {
        Some(Value::Int(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    };
    Settings {
        strict: matches!(value("dql_strict_mode"), Some(Value::Bool(true))),
        durability: match value("durable_commits") {
            Some(Value::Bool(true)) => Durability::Immediate,
            _ => Durability::Eventual,
        },
        soft_limit: size("document_size_soft_limit_bytes"),
        hard_limit: size("document_size_hard_limit_bytes"),
        record_cache: size("record_cache_size_bytes"),
        statement_cache: size("statement_cache_size"),
        observer_memory: size("observer_memory_bytes"),
        request_timeout_ms: 1000 * seconds("dql_request_timeout_seconds"),
        slow_request_ms: 1000 * seconds("dql_slow_request_warn_seconds"),
        revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_its_defaults_are_allowed() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].name < pair[1].name));
        for parameter in REGISTRY {
            assert!(parameter.domain.check(&parameter.domain.default()).is_ok(), "{}", parameter.name);
        }
    }

    #[test]
    fn names_ignore_case_and_settings_follow() {
        let parameters = Parameters::new(Durability::default(), &Scopes::default());
        assert!(!parameters.settings().strict);
        let (name, value) = parameters.set("Dql_Strict_MODE", Some(Value::Bool(true))).expect("known");
        assert_eq!((name, value), ("dql_strict_mode", Value::Bool(true)));
        assert!(parameters.settings().strict);
        parameters.set("dql_strict_mode", None).expect("default");
        assert!(!parameters.settings().strict);
    }

    #[test]
    fn unknown_names_wrong_kinds_and_bounds_are_told_apart() {
        let parameters = Parameters::new(Durability::default(), &Scopes::default());
        let problem =
            |name: &str, value: Value| parameters.set(name, Some(value)).expect_err("refused").problem;
        assert!(matches!(problem("no_such", Value::Null), ParameterProblem::Unknown));
        assert!(matches!(problem("dql_strict_mode", Value::Int(1)), ParameterProblem::WrongKind { .. }));
        assert!(matches!(
            problem("tombstone_ttl_hours", Value::Int(0)),
            ParameterProblem::OutOfBounds { .. }
        ));
        let scope: Object = [("cars".to_string(), Value::String("Nobody".into()))].into_iter().collect();
        assert!(matches!(
            problem("user_collection_sync_scopes", Value::Object(scope)),
            ParameterProblem::WrongMember { .. }
        ));
        assert_eq!(parameters.list(|name| name.starts_with("tombstone_ttl")).len(), 2);
        for name in ["No_Such", "Dql_Strict_MODE"] {
            let error = parameters.set(name, Some(Value::Int(1))).expect_err("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
