//! Patterns that are known before the statement runs must be well-formed.

use ditto_value::Value;

use crate::ast::{Expr, Like};
use crate::error::{Checked, Fault};
use crate::evaluate::pattern;

/// Checks the constant pattern of this expression, if it has one.
pub(super) fn check(expr: &Expr) -> Checked<()> {
    match expr {
        Expr::Like(like) => {
            let Like { pattern, escape, dialect, place, .. } = &**like;
            let Expr::Literal(Value::String(pattern)) = pattern else { return Ok(()) };
            let escape = match escape {
                None => None,
                Some(Expr::Literal(Value::String(escape))) => Some(escape.as_str()),
                Some(_) => return Ok(()),
            };
            pattern::check(*dialect, pattern, escape)
                .map_err(|reason| Fault::semantics(*place, format!("this pattern is malformed: {reason}")))
        }
        Expr::Call(call) if call.function.name == "regexp_like" => {
            let text = |position: usize| match call.arguments.get(position) {
                Some(Expr::Literal(Value::String(text))) => Some(text.as_str()),
                _ => None,
            };
            let (Some(expression), flags) = (text(1), text(2)) else { return Ok(()) };
            if flags.is_none() && call.arguments.len() > 2 {
                return Ok(());
            }
            pattern::check_regular(expression, flags.unwrap_or_default()).map_err(|reason| {
                Fault::semantics(call.place, format!("this regular expression is malformed: {reason}"))
            })
        }
        _ => Ok(()),
    }
}
