//! The life and death of documents, as far as it is more than merging.
//!
//! A deleted document is a *tombstone*, a record of which only the removed births are left. Some time after it arrived here,
//! and once somebody else knows of it, the [`reaper`] *buries* it: the record shrinks to a *grave*, a row that names the
//! document by the hash of its `_id` only. To replication nothing changes with that: the version is that of the
//! removed births before and after.
//!
//! | module | what |
//! | --- | --- |
//! | [`rows`] | the rows of the keyspaces `graves` and `replication` that this needs |
//! | [`names`] | documents named by the hash of their `_id`, and how they are found |
//! | [`graves`] | graves as records, so that writing and merging need not know of them |
//! | [`age`] | a clock that jumps, made fit to tell how old something is |
//! | [`holdings`] | what remote peers are known to hold: whether a write exists elsewhere |
//! | [`conflicts`] | writes that lost against a deletion, as `system:conflicts` |
//! | [`evictions`] | what EVICT may forget, and what it kept, as `system:evictions` |
//! | [`subscribed`] | what this peer subscribes to, so that EVICT can say what comes back |
//! | [`recency`] | which rows of `replication` are in use |
//! | [`skew`] | remote clocks that are wrong |
//! | [`reaper`] | the housekeeping that the owner of the store calls from time to time |

pub(crate) mod age;
pub(crate) mod conflicts;
pub(crate) mod evictions;
pub(crate) mod graves;
pub(crate) mod holdings;
pub(crate) mod names;
pub(crate) mod reaper;
pub(crate) mod recency;
pub(crate) mod rows;
pub(crate) mod skew;
pub(crate) mod subscribed;
