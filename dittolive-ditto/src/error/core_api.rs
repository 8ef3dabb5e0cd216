/// Declares the enum, the name of each kind and the sentence it stands for.
macro_rules! kinds {
    ($($kind:ident: $description:literal,)*) => {
        /// The finer kinds of [`ErrorKind::CoreApi`](super::ErrorKind::CoreApi).
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CoreApiErrorKind {
            $(#[doc = concat!("Raised when ", $description, ".")] $kind,)*
        }

        impl CoreApiErrorKind {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// As in the source; the first word of the message.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind)),* }
            }

            pub(super) fn description(self) -> &'static str {
                match self { $(Self::$kind => $description),* }
            }
        }
    };
}

kinds! {
    ActivationLicenseTokenExpired: "the license token is past its date",
    ActivationLicenseTokenInvalid: "the license token could not be verified",
    ActivationLicenseUnsupportedFutureVersion: "the license token was made for a later version",
    ActivationNotActivated: "a license token is needed and none was set",
    ActivationUnnecessary: "a license token was given where none is needed",
    AuthenticationExpirationHandlerMissing: "sync with a server was started without an expiration handler",
    Base64Invalid: "text is not valid base64",
    CborInvalid: "bytes are not valid CBOR",
    CborUnsupported: "CBOR holds something that a document cannot",
    Crdt: "a document and an operation on it do not fit together",
    DifferIdentityKeyPathInvalid: "the identity key path of a differ is not valid",
    DqlEvaluationError: "a statement failed while it ran",
    DqlInvalidQueryArgs: "the arguments of a query are not a map with text keys",
    DqlQueryCompilation: "a query is not well formed",
    DqlUnsupported: "a query asks for something that is not supported",
    EncryptionExtraneousPassphraseGiven: "a passphrase was given for a directory that is not encrypted",
    EncryptionPassphraseInvalid: "the passphrase does not fit the directory",
    EncryptionPassphraseNotGiven: "the directory is encrypted and no passphrase was given",
    JsFloatingStoreOperation: "a store operation was left running",
    IoAlreadyExists: "a file is there already",
    IoNotFound: "a file or directory does not exist, such as the one of the instance, which was moved away",
    IoOperationFailed: "the file system or the network refused an operation",
    IoPermissionDenied: "the permission for a file or directory is missing, or the disk is read-only",
    LockedDittoWorkingDirectory: "another instance uses the persistence directory",
    ParameterQuery: "a system parameter is unknown or its value does not fit",
    StoreDatabase: "the storage failed",
    StoreDocumentId: "a value cannot be the id of a document",
    StoreDocumentNotFound: "a document does not exist",
    StoreQuery: "a query failed in the store",
    StoreTransactionReadOnly: "a read-only transaction was asked to write",
    Transport: "a transport failed",
    Unsupported: "something is not supported",
    ValidationDepthLimitExceeded: "a value is nested too deeply",
    ValidationInvalidCbor: "bytes that must be CBOR are not",
    ValidationInvalidJson: "text that must be JSON is not",
    ValidationInvalidTransportConfig: "the transport configuration is not valid",
    ValidationInvalidDittoConfig: "the configuration is not valid",
    ValidationNotAMap: "a value that must be a map is not",
    ValidationSizeLimitExceeded: "a value is too large",
    Unknown: "the cause is not known",
    Internal: "the database has an internal fault",
    StoreTransactionNested: "something inside of a read-write transaction was to write beside it, which would wait for ever",
    StoreTransactionTimeout: "another writer went on for so long that waiting for it was given up",
    StoreDiskFull: "the disk is full; once there is room the database goes on by itself",
    StoreCorrupt: "the files of the database are damaged",
    StoreFormatUnsupported: "the database was written in a format that this version does not read",
    Cancelled: "whoever watched the progress ended the work",
}
