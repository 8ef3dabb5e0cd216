//! Sources: collection names, type definitions, USE clauses, aliases.

use ditto_value::{Object, Value};

use crate::ast::{Collection, Directives, Expr, FieldType, Namespace, Source, TypeDefinition, UseIds};
use crate::error::{Checked, ErrorKind, Fault, Place};
use crate::lexer::TokenKind;
use crate::limits::MAX_DEFINITION_DEPTH;

use super::cursor::{Parser, directive_object};
use super::words;

impl Parser<'_> {
    /// `collection_ref` or `COLLECTION collection_ref (definitions)`, without an alias.
    pub(super) fn target(&mut self) -> Checked<Source> {
        let place = self.place();
        let keyword = self.at_word("COLLECTION")
            && matches!(self.peek_second(), TokenKind::Word(_) | TokenKind::Quoted(_));
        if keyword {
            self.take();
        } else if self.at_word("COLLECTION") {
            self.take();
            return Err(self
                .unexpected("the name of a collection")
                .hint("a collection named so needs backticks"));
        }
        let collection = self.collection()?;
        let definitions = if !self.at_symbol("(") {
            Vec::new()
        } else if keyword {
            self.definitions(0)?
        } else {
            let fault = self.unexpected("the next clause");
            return Err(fault.hint("type definitions need the word COLLECTION before the collection's name"));
        };
        let directives = self.directives()?;
        Ok(Source { collection, definitions, alias: None, ids: None, directives, place })
    }

    /// A target with an alias and USE clauses.
    pub(super) fn source(&mut self) -> Checked<Source> {
        let mut source = self.target()?;
        source.alias = self.alias()?;
        source.directives.0.extend(self.directives()?.0);
        self.uses(&mut source)?;
        Ok(source)
    }

    /// `SELECT * FROM [COLLECTION] collection_ref`, whatever follows.
    pub(crate) fn subscribed_collection(&mut self) -> Checked<Collection> {
        self.expect_word("SELECT")?;
        if !self.accept_symbol("*") {
            return Err(self.unexpected("*"));
        }
        self.expect_word("FROM")?;
        if self.at_word("COLLECTION")
            && matches!(self.peek_second(), TokenKind::Word(_) | TokenKind::Quoted(_))
        {
            self.take();
        }
        self.collection()
    }

    /// `[namespace:]name`.
    pub(super) fn collection(&mut self) -> Checked<Collection> {
        const WANTED: &str = "the name of a collection";
        if let TokenKind::Word(word) = self.peek()
            && words::ends_expression(word)
        {
            let hint = format!("to use {word} as a name, write `{word}` in backticks");
            return Err(self.unexpected(WANTED).hint(hint));
        }
        let mut place = self.place();
        let mut name = self.name(WANTED)?;
        let mut namespace = Namespace::Default;
        if self.at_symbol(":") {
            namespace = match name.as_str() {
                "default" => Namespace::Default,
                "system" => Namespace::System,
                other => {
                    let message = format!("there is no namespace named {other}");
                    return Err(Fault::semantics(place, message).hint("namespaces are default and system"));
                }
            };
            self.take();
            place = self.place();
            name = self.name(WANTED)?;
        }
        if self.at_symbol("-") {
            let hint = format!("a name with a hyphen needs backticks, for example `{name}-…`");
            return Err(self.unexpected("the next clause").hint(hint));
        }
        if name.contains('\0') {
            return Err(Fault::new(
                ErrorKind::Semantics,
                place,
                "the name of a collection must not contain NUL",
            ));
        }
        Ok(Collection { namespace, name })
    }

    fn definitions(&mut self, depth: usize) -> Checked<Vec<TypeDefinition>> {
        if depth >= MAX_DEFINITION_DEPTH {
            let message = format!("type definitions are nested deeper than {MAX_DEFINITION_DEPTH} levels");
            return Err(Fault::new(ErrorKind::Limit, self.place(), message));
        }
        self.expect_symbol("(")?;
        let mut seen = std::collections::BTreeSet::new();
        let definitions = self.list(|parser| {
            let place = parser.place();
            let definition = parser.definition(depth)?;
            if !seen.insert(definition.name.clone()) {
                let message = format!("the type of {} is defined twice", definition.name);
                return Err(Fault::semantics(place, message));
            }
            Ok(definition)
        })?;
        self.expect_symbol(")")?;
        Ok(definitions)
    }

    fn definition(&mut self, depth: usize) -> Checked<TypeDefinition> {
        use FieldType::{Attachment, Counter, Map, PnCounter, Register};
        let name = self.name("the name of a field")?;
        let kinds = [Register, Map, Counter, PnCounter, Attachment];
        let Some(kind) = kinds.into_iter().find(|kind| self.at_word(kind.as_str())) else {
            return Err(self.unexpected("REGISTER, MAP, COUNTER, PN_COUNTER or ATTACHMENT"));
        };
        self.take();
        let members =
            if kind == Map && self.at_symbol("(") { self.definitions(depth + 1)? } else { Vec::new() };
        Ok(TypeDefinition { name, kind, members })
    }

    /// Any number of `USE …`.
    fn uses(&mut self, source: &mut Source) -> Checked<()> {
        while self.accept_word("USE") {
            if self.at_word("IDS") {
                let place = self.place();
                self.take();
                if source.ids.is_some() {
                    return Err(Fault::semantics(place, "USE IDS is given twice"));
                }
                let list = self.at_word("LIST")
                    && !matches!(self.peek_second(), TokenKind::Symbol("." | ",") | TokenKind::End);
                source.ids = Some(if list {
                    self.take();
                    UseIds::List(self.expression()?)
                } else {
                    UseIds::Each(self.list(Self::expression)?)
                });
            } else if self.accept_word("INDEX") {
                let index = self.index_names()?;
                source.directives.0.insert("#index", index);
            } else if self.accept_word("DIRECTIVES") {
                let given = self.use_directives()?;
                source.directives.0.extend(given);
            } else {
                return Err(self.unexpected("IDS, INDEX or DIRECTIVES"));
            }
        }
        Ok(())
    }

    /// `'name'` or `(name, name)`.
    fn index_names(&mut self) -> Checked<Value> {
        if self.accept_symbol("(") {
            let names = self.list(|parser| parser.name("the name of an index"))?;
            self.expect_symbol(")")?;
            return Ok(Value::Array(names.into_iter().map(Value::String).collect()));
        }
        match self.peek() {
            TokenKind::Text(name) => {
                let name = Value::String(name.clone());
                self.take();
                Ok(name)
            }
            _ => Err(self.unexpected("the name of an index in quotes")),
        }
    }

    /// `'{json}'` or an object of constants.
    fn use_directives(&mut self) -> Checked<Object> {
        let place = self.place();
        if let TokenKind::Text(json) = self.peek() {
            let given = directive_object(place, json)?;
            self.take();
            return Ok(given);
        }
        match self.expression()? {
            Expr::Literal(Value::Object(given)) => Ok(given),
            _ => Err(Fault::semantics(place, "directives must be one object of constants")),
        }
    }

    /// `name.name…` below a document, as the target of a change or the key of an index.
    pub(super) fn field_path(&mut self, what: &str) -> Checked<(Vec<String>, Place)> {
        let place = self.place();
        let mut path = vec![self.name(what)?];
        while self.accept_symbol(".") {
            path.push(self.name("the name of a member")?);
        }
        if self.at_symbol("[") {
            let fault = self.unexpected("the next clause");
            return Err(fault.hint("elements of arrays cannot be addressed here; write the whole array"));
        }
        Ok((path, place))
    }

    /// Two sets of directives, the later one winning.
    pub(super) fn more_directives(&mut self, directives: &mut Directives) -> Checked<()> {
        directives.0.extend(self.directives()?.0);
        Ok(())
    }
}
