//! SHOW and ALTER SYSTEM.

use ditto_dql::{AlterSystem, Show};
use ditto_value::Object;

use super::scope::Scope;
use crate::error::{ParameterError, ParameterProblem, StoreError};
use crate::parameters::Parameters;

/// One member per parameter.
pub(crate) fn show(parameters: &Parameters, show: &Show) -> Result<Object, StoreError> {
    match show {
        Show::Parameter(name) => Ok(Object::from([parameters.get(name)?])),
        Show::All(None) => Ok(parameters.list(|_| true)),
        Show::All(Some(pattern)) => Ok(parameters.list(|name| pattern.matches(name))),
    }
}

/// The new values.
pub(crate) fn alter(
    parameters: &Parameters,
    alter: &AlterSystem,
    scope: &Scope<'_>,
) -> Result<Object, StoreError> {
    match alter {
        AlterSystem::Set { name, value } => match value.evaluate(&scope.context()).into_value() {
            Some(value) => Ok(Object::from([parameters.set(name, Some(value))?])),
            None => {
                parameters.get(name)?;
                let problem = ParameterProblem::WrongKind { expected: "a value", found: "MISSING" };
                Err(ParameterError { name: name.clone(), problem }.into())
            }
        },
        AlterSystem::Reset(name) => Ok(Object::from([parameters.set(name, None)?])),
        AlterSystem::ResetAll => {
            parameters.reset_all();
            Ok(parameters.list(|_| true))
        }
    }
}
