//! PROFILE: a statement is run, and one more row says how.
//!
//! Operators push documents on to one another in a single loop, so that what is counted is how many came by each of them;
//! time is that of them all together.

use ditto_dql::{Delete, Directives, Evict, Insert, InsertBody, Select, Statement, Update};
use ditto_value::{Object, Value};

use super::access::planned;
use super::plan::Question;
use super::running::{Running, Tally};
use super::scope::Scope;
use super::view::View;
use super::{explain, mutation, select, statement_name};
use crate::error::StoreError;
use crate::store::Inner;

/// The only member of the row.
const MEMBER: &str = "~request_profile";

/// The statement to be run and reported on, if one is: it is inside of PROFILE, or has the directive `#profile`.
pub(super) fn profiled(statement: &Statement) -> Option<&Statement> {
    let directives: &Directives = match statement {
        Statement::Profile(inner) => return Some(inner),
        Statement::Select(Select { directives, .. })
        | Statement::Insert(Insert { directives, .. })
        | Statement::Update(Update { directives, .. })
        | Statement::Delete(Delete { directives, .. })
        | Statement::Evict(Evict { directives, .. }) => directives,
        _ => return None,
    };
    (directives.0.get("#profile") == Some(&Value::Bool(true))).then_some(statement)
}

/// What is known before the statement is run.
pub(super) struct Profile<'r> {
    inner: &'r Inner,
    statement: &'r Statement,
    tally: &'r Tally,
    /// `{plan: …}`
    plan: Object,
    parse_ns: u64,
    plan_ns: u64,
    begun_ns: u64,
}

impl<'r> Profile<'r> {
    /// Parses and plans the statement once more, to see how long that takes: it may have been done long ago.
    pub(super) fn begin(
        view: View<'_>,
        scope: &Scope<'_>,
        running: &'r Running<'_>,
        statement: &'r Statement,
    ) -> Result<Self, StoreError> {
        let inner = running.inner();
        let now = || inner.environment.elapsed_ns();
        let begun = now();
        ditto_dql::parse(running.text())?;
        let parsed = now();
        let scope = Scope { plans: None, ..*scope };
        if let Some(question) = question(statement) {
            planned(view, &scope, question, |_, _| Ok(()))?;
        }
        let planned = now();
        let plan = explain::explain(view, &scope, statement)?;
        Ok(Self {
            inner,
            statement,
            tally: running.tally(),
            plan,
            parse_ns: parsed.saturating_sub(begun),
            plan_ns: planned.saturating_sub(parsed),
            begun_ns: now(),
        })
    }

    /// The row for a statement that gave so many rows and changed so many documents.
    pub(super) fn end(self, rows: usize, mutated: usize) -> Object {
        let (rows, mutated) = (rows as u64, mutated as u64);
        let exec_ns = self.inner.environment.elapsed_ns().saturating_sub(self.begun_ns);
        let (parse_ns, plan_ns) = (self.parse_ns, self.plan_ns);
        let elapsed_ns = parse_ns.saturating_add(plan_ns).saturating_add(exec_ns);
        let out = if self.statement.is_mutation() { mutated } else { rows };
        let tree = self.plan.get("plan").map(|plan| with_statistics(plan, self.tally, out));
        let phases = Object::from([("exec", Value::from(exec_ns))]);
        let statistics = Object::from([("documentsOut", Value::from(out)), ("phaseTimes", phases.into())]);
        let tree = tree.map(|plan| explain::extended(plan, [("#stats", statistics.into())]));
        let times = Object::from([
            ("elapsed", Value::from(elapsed_ns)),
            ("parse", Value::from(parse_ns)),
            ("plan", Value::from(plan_ns)),
        ]);
        let profile = Object::from([
            ("plan", tree.unwrap_or(Value::Null)),
            ("queryType", Value::from(statement_name(self.statement).to_ascii_lowercase())),
            ("state", Value::from("completed")),
            ("resultCount", Value::from(rows)),
            ("times", times.into()),
        ]);
        Object::from([(MEMBER, profile)])
    }
}

fn question(statement: &Statement) -> Option<Question<'_>> {
    match statement {
        Statement::Select(select) => Some(select::question(select)),
        Statement::Insert(Insert { body: InsertBody::Select(select), .. }) => Some(select::question(select)),
        Statement::Update(Update { directives, selection, .. })
        | Statement::Delete(Delete { directives, selection, .. })
        | Statement::Evict(Evict { directives, selection, .. }) => {
            Some(mutation::question(directives, selection))
        }
        _ => None,
    }
}

/// The plan with the number of documents, or rows, that came to each operator and went on from it. `out`: the result.
fn with_statistics(plan: &Value, tally: &Tally, out: u64) -> Value {
    let steps = plan.get("children").and_then(Value::as_array).unwrap_or_default();
    let (mut came, mut is_short) = (None, false);
    let counted = steps.iter().map(|step| {
        let name = step.get("#operator").and_then(Value::as_str).unwrap_or_default();
        let has = |member| step.get(member).is_some();
        let went = match name {
            "scan" | "idScan" | "indexScan" | "unionScan" | "intersectScan" if !has("value") => {
                Some(tally.looked.get())
            }
            // One group, had without documents.
            "scan" | "idScan" | "indexScan" | "countScan" | "aggregateScan" => {
                is_short = true;
                Some(1)
            }
            "filter" if has("ofGroups") => Some(tally.kept.get()),
            "filter" if !is_short => Some(tally.found.get()),
            "group" => Some(tally.groups.get()),
            "distinct" => Some(tally.distinct.get()),
            "limit" | "insert" | "update" | "delete" | "evict" => Some(out),
            "sort" if has("bounded") => Some(out),
            _ => came,
        };
        let numbers = [("documentsIn", came), ("documentsOut", went)];
        let statistics: Object =
            numbers.into_iter().filter_map(|(name, number)| Some((name, Value::from(number?)))).collect();
        came = went;
        explain::extended(step.clone(), [("#stats", statistics.into())])
    });
    let counted: Vec<Value> = counted.collect();
    explain::extended(plan.clone(), [("children", counted.into())])
}
