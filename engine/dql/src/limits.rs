//! Every bound of the language in one place. Statements and subscriptions come from strangers: each bound
//! turns a way of exhausting memory, stack or time into an ordinary error or MISSING.

/// Longest statement text, in bytes. Large documents belong into arguments.
pub const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Longest subscription text, in bytes: it is sent to and compiled by other peers.
pub const MAX_SUBSCRIPTION_BYTES: usize = 64 << 10;

/// Greatest height of an expression tree. Parsing, checking, evaluation, display and drop recurse at most
/// this deep.
pub const MAX_EXPRESSION_DEPTH: usize = 100;

/// Greatest nesting of `MAP( … )` type definitions.
pub const MAX_DEFINITION_DEPTH: usize = 32;

/// Longest identifier, in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 1024;

/// Greatest number of joined collections in one statement.
pub const MAX_JOINS: usize = 10;

/// Greatest approximate size, in bytes, of a value that an expression builds; beyond it the result is MISSING.
pub const MAX_RESULT_BYTES: usize = 16 << 20;

/// Greatest approximate size, in bytes, of all values that are built for one row; beyond it results are MISSING.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// Longest format of the date functions, in bytes.
pub const MAX_FORMAT_BYTES: usize = 256;

/// Greatest number of element visits (`ANY`, `EVERY`, `ARRAY … FOR`, `OBJECT … FOR`) for one row; beyond it
/// the result is MISSING. It bounds nested loops over hostile documents.
pub const MAX_VISITS_PER_ROW: u64 = 4_000_000;

/// Greatest size of one compiled regular expression, in bytes.
pub const MAX_PATTERN_BYTES: usize = 256 << 10;

/// Greatest nesting of a regular expression.
pub const MAX_PATTERN_DEPTH: u32 = 64;

/// Longest pattern of LIKE, SIMILAR TO and `regexp_like`, in bytes.
pub const MAX_PATTERN_TEXT: usize = 8 << 10;
