//! Set reconciliation: what a subscriber lacks is found without telling it everything.
//!
//! Where there is no checkpoint although both sides hold something (a first meeting of peers that got the data
//! elsewhere, a restored backup, another filter), the walk over the change log would begin at 0. Instead the
//! publisher fixes a *fence*, its durable sequence, and serves the interests from there on by the ordinary walk; for
//! all before it, both sides take stock: the publisher of what it would tell (its [`Comparison`]), the subscriber of
//! all that it holds in the same collections (its [`Inventory`]), document by document as hashes
//! ([`naming`]). The subscriber describes its stock by [`symbols`], as many as the publisher
//! asks for until it knows the difference. It sends what is lacking in ordinary batches, and says that the interests
//! stand at the fence. Equal stocks cost a message each way.
//!
//! Both read the collections in pieces, in the order of the keys, while others write. That needs no snapshot: a document that
//! changes meanwhile gets a row after the fence, which the ordinary walk comes by; and what the subscriber says that it holds, it holds from
//! then on in this version or a later one, unless it evicts, after which its interests begin anew.
//!
//! Whoever holds more than fits in memory takes stock of the documents of a *range* of names only, the first half of all, or the
//! first half of that, and so on ([`name_range`]); both then compare the narrower of their ranges, and those that follow
//! it, one after the other. Each costs a pass over the collections.
//!
//! The publisher decides, and gives up in favour of the walk from 0 when that is cheaper or when the symbols
//! make no sense. There is no second method for large differences: ranges of neighbouring keys would pay only where many
//! differences have such keys, and where everything differs, nothing does.

mod comparison;
mod inventory;
pub(crate) mod name_range;
pub(crate) mod naming;
mod stock;
pub(crate) mod symbols;

pub(crate) use comparison::{Comparison, Next, row};
pub(crate) use inventory::Inventory;
pub(crate) use name_range::NameRange;
