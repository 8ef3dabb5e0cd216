//! Subscriptions: the part of SELECT whose meaning depends on a document and fixed arguments only, so that
//! another peer can evaluate it.

use std::collections::BTreeSet;

use ditto_value::{Object, Value};

use crate::ast::{
    Binding, Collection, Definitions, Expr, Name, Projection, Root, Select, Statement, TypeDefinition,
    Written,
};
use crate::check;
use crate::error::{Checked, Fault, ParseError, Place};
use crate::limits::MAX_SUBSCRIPTION_BYTES;
use crate::parser::{Parser, parse_unchecked};

/// A checked subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionQuery {
    /// The collection subscribed to.
    pub collection: Collection,
    /// Types of fields declared for this query.
    pub definitions: Vec<TypeDefinition>,
    /// Which documents; all if none. It reads no clock and no setting.
    pub filter: Option<Expr>,
    /// One text for all ways of writing this query, arguments as placeholders. It is a subscription itself, whose
    /// normal form is the same text.
    pub normalized: String,
}

/// Parses and checks a subscription: `SELECT * FROM collection [alias] [WHERE condition]` and nothing else.
///
/// ```
/// use ditto_value::Object;
///
/// let query = ditto_dql::subscription("select * from plants p where p.bed == :bed", &Object::from([("bed", "A")]))?;
/// assert_eq!(query.normalized, "SELECT * FROM plants WHERE bed = :bed");
/// # Ok::<(), ditto_dql::ParseError>(())
/// ```
///
/// # Errors
/// What the text lacks, which clause is not allowed here, or which argument is missing.
pub fn subscription(text: &str, arguments: &Object) -> Result<SubscriptionQuery, ParseError> {
    check_subscription(text, arguments).map_err(|fault| fault.into_error(text))
}

/// Which collection a normal form is about. Reads nothing of what follows the name.
///
/// ```
/// let collection = ditto_dql::subscribed_collection("SELECT * FROM `my-plants` WHERE bed = :bed");
/// assert_eq!(collection.unwrap().to_string(), "my-plants");
/// ```
pub fn subscribed_collection(normalized: &str) -> Option<Collection> {
    Parser::new(normalized).subscribed_collection().ok()
}

fn check_subscription(text: &str, arguments: &Object) -> Checked<SubscriptionQuery> {
    let statement = parse_unchecked(text, MAX_SUBSCRIPTION_BYTES)?;
    let Statement::Select(mut select) = statement else {
        return Err(Fault::context(Place::at(0), "a subscription takes a SELECT statement"));
    };
    refuse_clauses(&select)?;
    check::select(&mut select)?;
    if let Some(filter) = &select.filter {
        refuse_surroundings(filter)?;
        let mut names = BTreeSet::new();
        filter.collect_parameters(&mut names);
        if let Some(name) = names.into_iter().find(|name| !arguments.contains_key(name)) {
            let place = parameter_place(filter, name);
            return Err(Fault::context(place, format!("no argument was given for the placeholder :{name}")));
        }
    }
    let Select { source, filter, .. } = select;
    let collection = source.collection;
    let mut filter = filter;
    // Paths without the alias, if no path needs it.
    let mut alias = None;
    if let Some(filter) = &mut filter {
        if needs_alias(filter, &collection.name) {
            alias = source.alias;
        } else {
            reroot(filter, &collection.name);
        }
    }
    let mut normalized = String::from("SELECT * FROM ");
    if source.definitions.is_empty() {
        normalized.push_str(&Written(&collection).to_string());
    } else {
        normalized.push_str(&format!(
            "COLLECTION {} {}",
            Written(&collection),
            Definitions(&source.definitions)
        ));
    }
    if let Some(alias) = &alias {
        normalized.push_str(&format!(" AS {}", Name(alias)));
    }
    if let Some(filter) = &filter {
        normalized.push_str(&format!(" WHERE {filter}"));
    }
    Ok(SubscriptionQuery { collection, definitions: source.definitions, filter, normalized })
}

fn refuse_clauses(select: &Select) -> Checked<()> {
    let Select { directives, distinct, projection, source, joins, grouping, order_by, limit, offset, .. } =
        select;
    let clause = if *distinct {
        "DISTINCT"
    } else if *projection != Projection::All {
        "a projection other than *"
    } else if !joins.is_empty() {
        "JOIN"
    } else if grouping.is_some() {
        "GROUP BY or HAVING"
    } else if !order_by.is_empty() {
        "ORDER BY"
    } else if limit.is_some() {
        "LIMIT"
    } else if offset.is_some() {
        "OFFSET"
    } else if source.ids.is_some() {
        "USE IDS"
    } else if !directives.0.is_empty() || !source.directives.0.is_empty() {
        "a query directive"
    } else {
        return Ok(());
    };
    Err(Fault::context(source.place, format!("{clause} is not allowed in a subscription"))
        .hint("the form is SELECT * FROM collection [WHERE condition]"))
}

/// A filter must mean the same on every peer at any time.
fn refuse_surroundings(filter: &Expr) -> Checked<()> {
    let mut result = Ok(());
    filter.visit(&mut |expr| {
        let Expr::Call(call) = expr else { return };
        let depends = match call.function.name {
            "clock" | "request_info" => true,
            // With a zone's name it is the offset of this moment.
            "tz_offset" => match call.arguments.get(1) {
                None => false,
                Some(Expr::Literal(Value::String(format))) => format == "TZN",
                Some(_) => true,
            },
            _ => false,
        };
        if depends && result.is_ok() {
            let message = format!("{} is not allowed in a subscription", call.function.name);
            result = Err(Fault::context(call.place, message)
                .hint("other peers evaluate the condition at other times; pass the value as an argument"));
        }
    });
    result
}

fn parameter_place(filter: &Expr, name: &str) -> Place {
    let mut place = Place::default();
    filter.visit(&mut |expr| {
        if let Expr::Parameter(parameter) = expr
            && parameter.name == name
        {
            place = parameter.place;
        }
    });
    place
}

/// Whether paths must stay as they are written: the alias stands for the document itself, or without it a name that
/// ANY, EVERY, ARRAY or OBJECT binds could be taken for the field.
fn needs_alias(filter: &Expr, collection: &str) -> bool {
    let mut fields = BTreeSet::from([collection]);
    let mut bound = BTreeSet::new();
    let mut document = false;
    filter.visit(&mut |expr| match expr {
        Expr::Path(path) => {
            document |= matches!(path.root, Root::Document(_));
            fields.extend(path.field().and_then(|(_, members)| members.first()).map(String::as_str));
        }
        Expr::Quantified(quantified) => {
            quantified.bindings.iter().for_each(|binding| bind(binding, &mut bound))
        }
        Expr::ArrayFor(transform) => bind(&transform.binding, &mut bound),
        Expr::ObjectFor(transform) => bind(&transform.binding, &mut bound),
        _ => {}
    });
    document || !fields.is_disjoint(&bound)
}

fn bind<'e>(binding: &'e Binding, bound: &mut BTreeSet<&'e str>) {
    bound.extend(binding.key.as_deref());
    bound.insert(&binding.value);
}

/// Writes every field without the alias, and with the collection's name where a field of that name would
/// otherwise be taken for it.
fn reroot(expr: &mut Expr, collection: &str) {
    if let Expr::Path(path) = expr {
        if let Some((source, fields)) = path.field() {
            let mut steps = fields.to_vec();
            path.root = Root::Field(source);
            if steps.len() > 1 && steps.first().is_some_and(|first| first == collection) {
                steps.insert(0, collection.to_owned());
                path.root = Root::Source(source);
            }
            path.steps = steps;
        }
        return;
    }
    expr.for_each_part_mut(&mut |part| reroot(part, collection));
}
