//! Faults that must not be: each breaks a promise of the database on purpose, so that a test sees that an oracle notices.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Now and then a document is said to be merged that is not.
    DroppedDocuments,
    /// Checkpoints are stored that are a few changes ahead.
    EarlyCheckpoints,
    /// What was merged is acknowledged before it is synced.
    EarlyAcknowledgements,
    /// No checkpoint is ever found again.
    ForgottenCheckpoints,
    /// Nobody is told that documents have left a filter.
    UnreportedLeavings,
    /// Disks lose what they have synced.
    LostSyncs,
    /// Somebody else's empty disk takes the place of one, and nobody says so.
    SwappedDisks,
    /// Writes are acknowledged that were never made.
    LostWrites,
    /// A document that was deleted is brought back as it was.
    Resurrection,
    /// A deletion takes births that its author has not seen.
    GreedyDeletions,
    /// Documents are inserted without a field that all have.
    HalfDocuments,
    /// What arrives at one peer bears a later stamp than it was written with.
    RaisedStamps,
    /// Tombstones are never buried.
    EternalTombstones,
    /// Each checkpoint is stored a second time, under a name that nobody asks for.
    HoardedCheckpoints,
    /// Increments are made twice.
    DoubleCounting,
    /// Of a transaction a part is committed by itself.
    HalfTransactions,
    /// What arrives as one is merged in two commits, the second one later.
    SplitBatches,
    /// Whoever was told to wait is never told to go on.
    EndlessWaiting,
    /// Of each change the whole document is told.
    WholeDocuments,
    /// Who has merged a document believes that its sender lacks something, and asks.
    NeedlessQuestions,
    /// How far anything was offered is recorded for all collections, also for those of which nothing is asked for.
    SharedRecords,
    /// Peers say that their clocks are right when they are not.
    FalseClocks,
    /// Everything that waits is counted a thousand times.
    DeepQueues,
    /// Everything that has come and waits is counted a thousand times.
    DeepBuffers,
    /// Sessions forget, as far as they count, what has come and waits.
    UncountedBuffers,
    /// Nobody is told any more, in times of peace, that something is durable.
    ForgottenSyncs,
    /// In times of peace messages vanish, and their links go on.
    LostMessages,
    /// Messages arrive as ones of a kind that nobody knows.
    AlteredMessages,
    /// It takes long until something is synced.
    LateSyncs,
    /// Whoever dials dials again at once, whether or not it is connected.
    EndlessDialling,
    /// Peers say that they show parts of transactions, always, and write them in parts.
    NeverWhole,
    /// Documents are refused now and then.
    RefusedDocuments,
    /// A copy that lacks something is said to be all that there is.
    StaleCopies,
    /// What is refused is said to be merged.
    SilentRefusals,
    /// One peer keeps to itself what others subscribe to.
    RefusedSubscriptions,
    /// One peer shows something else of a document than what it says that it has.
    OtherValues,
    /// A store has a row that belongs to nothing.
    StrayRows,
    /// What a liar says is taken for what somebody else says.
    MistakenSenders,
    /// Everything travels to and from a liar.
    OpenCollections,
    /// A peer is never started.
    LostPeers,
    /// Disks have something on them that is no database.
    RuinedDisks,
}
