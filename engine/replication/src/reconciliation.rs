//! Set reconciliation: what a subscriber lacks is found without walking through everything.

pub(crate) mod symbols;
