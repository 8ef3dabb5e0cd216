//! What one run of a statement knows besides its text.

use std::ops::ControlFlow;

use ditto_crdt::{Definition, Definitions, Kind};
use ditto_dql::{Arguments, Context, Expr, FieldType, Source, TypeDefinition};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef, key};

use super::plan::{self, Access};
use super::view::View;
use crate::error::StoreError;
use crate::parameters::Settings;
use crate::write::parse_record;

/// One run of a statement: its arguments, its time, the settings.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub arguments: Arguments<'a>,
    pub now_ms: u64,
    pub settings: Settings,
    /// What `request_info()` yields.
    pub request: Option<&'a Value>,
}

impl<'a> Scope<'a> {
    /// The context of expressions outside of any row.
    pub(crate) fn context(&self) -> Context<'a> {
        let mut context = Context::new(self.arguments, i64::try_from(self.now_ms).unwrap_or(i64::MAX));
        context.request = self.request;
        context
    }
}

/// How a statement reads and writes the fields of a collection: its definitions and the strictness.
pub(crate) struct Shape {
    pub definitions: Definitions,
}

impl Shape {
    pub(crate) fn new(source: &Source, settings: Settings) -> Self {
        Self { definitions: definitions(&source.definitions, settings.strict) }
    }

    /// Nothing is declared and the mode is not strict: the stored value is what the statement sees.
    pub(crate) fn is_plain(&self) -> bool {
        self.definitions.is_default()
    }

    /// Calls `each` with the document that a record shows under this shape: the bytes that hold it, and where
    /// in them it is. Not called for tombstones.
    pub(crate) fn document<T>(
        &self,
        record: &Bytes,
        each: impl FnOnce(&Bytes, ValueRef<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let parsed = parse_record(record)?;
        if !parsed.alive {
            return Ok(None);
        }
        if self.is_plain() {
            return each(record, parsed.value).map(Some);
        }
        let id = parsed.value.get("_id").map_or(Value::Null, ValueRef::to_value);
        let document = parsed.document().map_err(|error| StoreError::corrupt(error.to_string()))?;
        let Some(visible) = document.visible(&id, &self.definitions) else { return Ok(None) };
        let bytes = Bytes::from(Value::Object(visible).encode());
        each(&bytes, ValueRef::from_stored(&bytes)).map(Some)
    }
}

fn definitions(declared: &[TypeDefinition], strict: bool) -> Definitions {
    let mut definitions = Definitions::new(strict);
    for definition in declared {
        definitions.declare(definition.name.as_str(), definition_of(definition));
    }
    definitions
}

fn definition_of(declared: &TypeDefinition) -> Definition {
    let kind = match declared.kind {
        FieldType::Register => Kind::Register,
        FieldType::Map => Kind::Map,
        FieldType::Counter => Kind::Counter,
        FieldType::PnCounter => Kind::PnCounter,
        FieldType::Attachment => Kind::Attachment,
    };
    let members =
        declared.members.iter().map(|member| (member.name.clone(), definition_of(member))).collect();
    Definition { kind, members }
}

/// Is given the `documents` key and the record of a document, the bytes that hold its visible form, and that form.
pub(crate) type EachDocument<'f> =
    dyn FnMut(&Bytes, &Bytes, &Bytes, ValueRef<'_>) -> Result<ControlFlow<()>, StoreError> + 'f;

/// Calls `each` with every living document that `source` and `filter` select.
pub(crate) fn for_each_document(
    view: View<'_>,
    scope: &Scope<'_>,
    source: &Source,
    filter: Option<&Expr>,
    each: &mut EachDocument<'_>,
) -> Result<(), StoreError> {
    let context = scope.context();
    let access = plan::access(source, filter);
    let answered = plan::answered(access, filter);
    let conjuncts = filter.map(Expr::conjuncts).unwrap_or_default();
    let is_answered = |conjunct: &Expr| answered.is_some_and(|answered| std::ptr::eq(answered, conjunct));
    let mut accept = |key: &Bytes, record: &Bytes, holder: &Bytes, document: ValueRef<'_>| {
        if !conjuncts.is_empty() {
            let row = of_document(&context, document);
            if !conjuncts.iter().all(|conjunct| is_answered(conjunct) || conjunct.accepts(&row)) {
                return Ok(ControlFlow::Continue(()));
            }
        }
        each(key, record, holder, document)
    };
    if access == Access::Virtual {
        let rows = view.inner().virtual_collections.rows(&source.collection.to_string()).unwrap_or_default();
        let ids = plan::listed_ids(source, &context)?;
        for row in rows {
            if ids.as_ref().is_some_and(|ids| row.get("_id").is_none_or(|id| !ids.contains(&key::of(id)))) {
                continue;
            }
            let bytes = Bytes::from(Value::Object(row).encode());
            if accept(&bytes, &bytes, &bytes, ValueRef::from_stored(&bytes))?.is_break() {
                break;
            }
        }
        return Ok(());
    }
    let Some(collection) = view.collection(&source.collection.name) else { return Ok(()) };
    let shape = Shape::new(source, scope.settings);
    let mut each_record = |key: &Bytes, record: &Bytes| {
        let flow = shape.document(record, |holder, document| accept(key, record, holder, document))?;
        Ok(flow.unwrap_or(ControlFlow::Continue(())))
    };
    match plan::keys(access, &collection, &context)? {
        Some(keys) => view.get_all(&keys, &mut each_record),
        None => view.scan(&collection, &mut each_record),
    }
}

/// The context of one row.
pub(crate) fn of_document<'short, 'long: 'short>(
    context: &Context<'long>,
    document: ValueRef<'short>,
) -> Context<'short> {
    let mut context: Context<'short> = context.clone();
    context.document = Some(document);
    context
}
