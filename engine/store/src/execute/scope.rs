//! What one run of a statement knows besides its text.

use ditto_crdt::{Definition, Definitions, Kind, Record};
use ditto_dql::{Arguments, Context, FieldType, Source, TypeDefinition};
use ditto_storage::Bytes;
use ditto_value::{Value, ValueRef};

use super::plan::PlanCache;
use super::running::Running;
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
    /// Where the plan of the statement is kept, if it may be run again.
    pub plans: Option<&'a PlanCache>,
    /// Set for statements of the application.
    pub running: Option<&'a Running<'a>>,
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
        self.document_of(&parse_record(record)?, record, each)
    }

    /// The same for a record that was parsed before.
    pub(crate) fn document_of<T>(
        &self,
        parsed: &Record<'_>,
        record: &Bytes,
        each: impl FnOnce(&Bytes, ValueRef<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
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

/// The context of one row.
pub(crate) fn of_document<'short, 'long: 'short>(
    context: &Context<'long>,
    document: ValueRef<'short>,
) -> Context<'short> {
    let mut context: Context<'short> = context.clone();
    context.document = Some(document);
    context
}
