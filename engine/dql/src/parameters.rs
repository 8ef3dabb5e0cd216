//! The placeholders of a statement.

use std::collections::BTreeSet;

use ditto_value::Object;

use crate::ast::{Expr, Statement};

/// A placeholder without an argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no argument was given for the placeholder :{name}; add \"{name}\" to the arguments of the statement"
)]
pub struct MissingArgument {
    /// The placeholder's name.
    pub name: String,
}

impl Statement {
    /// The names of all placeholders, each once, in alphabetical order. Linear in the size of the statement.
    pub fn parameters(&self) -> Vec<&str> {
        let mut names = BTreeSet::new();
        self.for_each_expression(&mut |expr| expr.collect_parameters(&mut names));
        names.into_iter().collect()
    }

    /// Whether every placeholder has an argument; arguments without a placeholder are ignored.
    ///
    /// # Errors
    /// The first placeholder without one.
    pub fn check_arguments(&self, arguments: &Object) -> Result<(), MissingArgument> {
        match self.parameters().into_iter().find(|name| !arguments.contains_key(name)) {
            None => Ok(()),
            Some(name) => Err(MissingArgument { name: name.to_owned() }),
        }
    }
}

impl Expr {
    pub(crate) fn collect_parameters<'e>(&'e self, names: &mut BTreeSet<&'e str>) {
        self.visit(&mut |expr| {
            if let Self::Parameter(parameter) = expr {
                names.insert(&parameter.name);
            }
        });
    }
}
