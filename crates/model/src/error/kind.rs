//! One vocabulary of what can go wrong, mapped once to each protocol.
//!
//! Every kind is one row of the table below: its name, its SQLSTATE, the HTTP status that a web
//! door answers with, and what it means. Doors never invent codes of their own.

macro_rules! kinds {
    ($($name:ident $state:literal $status:literal $text:literal;)*) => {
        /// What kind of failure an [`Error`](crate::Error) is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(#[doc = $text] $name,)*
        }

        impl ErrorKind {
            /// Every kind, in the table's order.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The five-character code of the SQL standard and PostgreSQL.
            pub const fn sqlstate(self) -> &'static str {
                match self { $(ErrorKind::$name => $state,)* }
            }

            /// The status code of an HTTP answer.
            pub const fn http_status(self) -> u16 {
                match self { $(ErrorKind::$name => $status,)* }
            }

            /// What the kind means, in a few words.
            pub const fn description(self) -> &'static str {
                match self { $(ErrorKind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    // Statements that say something wrong.
    Syntax "42601" 400 "The statement is not well formed.";
    UndefinedTable "42P01" 404 "A relation does not exist.";
    UndefinedColumn "42703" 400 "A column does not exist.";
    UndefinedFunction "42883" 400 "A function or operator does not exist.";
    UndefinedObject "42704" 404 "An object does not exist.";
    UndefinedParameter "42P02" 400 "A parameter does not exist.";
    DuplicateTable "42P07" 409 "A relation exists already.";
    DuplicateColumn "42701" 409 "A column is named twice.";
    DuplicateObject "42710" 409 "An object exists already.";
    DuplicateSchema "42P06" 409 "A schema exists already.";
    DuplicateDatabase "42P04" 409 "A database exists already.";
    DuplicateFunction "42723" 409 "A function exists already.";
    DuplicateAlias "42712" 400 "A table name or alias is given twice.";
    DuplicateCursor "42P03" 409 "A cursor exists already.";
    DuplicatePreparedStatement "42P05" 409 "A prepared statement exists already.";
    InvalidSchemaName "3F000" 404 "A schema does not exist.";
    InvalidCatalogName "3D000" 404 "A database does not exist.";
    InvalidCursorName "34000" 404 "A cursor does not exist.";
    InvalidStatementName "26000" 404 "A prepared statement does not exist.";
    AmbiguousColumn "42702" 400 "A column name fits more than one column.";
    AmbiguousFunction "42725" 400 "A function call fits more than one function.";
    AmbiguousParameter "42P08" 400 "A parameter fits more than one type.";
    DatatypeMismatch "42804" 400 "A value has the wrong type.";
    CannotCoerce "42846" 400 "No conversion exists between two types.";
    GroupingError "42803" 400 "Grouping or aggregation is used wrongly.";
    WindowingError "42P20" 400 "A window function is used wrongly.";
    WrongObjectType "42809" 400 "An object is of another kind than the statement needs.";
    InvalidTableDefinition "42P16" 400 "A table definition contradicts itself.";
    InvalidObjectDefinition "42P17" 400 "An object definition contradicts itself.";
    InvalidFunctionDefinition "42P13" 400 "A function definition contradicts itself.";
    InvalidCursorDefinition "42P11" 400 "A cursor definition contradicts itself.";
    InvalidColumnReference "42P10" 400 "A column cannot be referred to here.";
    InvalidRecursion "42P19" 400 "A recursive query is not well founded.";
    InvalidForeignKey "42830" 400 "A foreign key does not match what it refers to.";
    InvalidName "42602" 400 "A name is not well formed.";
    NameTooLong "42622" 400 "A name is too long.";
    ReservedName "42939" 400 "A name is reserved.";
    GeneratedAlways "428C9" 400 "A column's values are the database's to make.";
    IndeterminateDatatype "42P18" 400 "A type could not be determined.";
    CollationMismatch "42P21" 400 "Two collations contradict each other.";
    IndeterminateCollation "42P22" 400 "A collation could not be determined.";
    DependentObjects "2BP01" 409 "Other objects depend on the object.";
    FeatureNotSupported "0A000" 501 "The feature is not supported.";

    // Constraints.
    IntegrityViolation "23000" 409 "A constraint is violated.";
    RestrictViolation "23001" 409 "A row is referred to and must stay.";
    UniqueViolation "23505" 409 "A key exists already.";
    NotNullViolation "23502" 400 "A value is missing.";
    ForeignKeyViolation "23503" 409 "A row that is referred to is missing.";
    CheckViolation "23514" 400 "A check failed.";
    WithCheckOptionViolation "44000" 400 "A row would not be seen through the view that it is written through.";
    ExclusionViolation "23P01" 409 "A row conflicts with another one.";

    // Values.
    InvalidText "22P02" 400 "A value's text is not well formed.";
    OutOfRange "22003" 400 "A number is outside the range of its type.";
    DivisionByZero "22012" 400 "A number is divided by zero.";
    StringTruncation "22001" 400 "A text is too long.";
    InvalidDatetime "22007" 400 "A date or time is not well formed.";
    DatetimeOverflow "22008" 400 "A date or time is outside its range.";
    InvalidTimeZoneDisplacement "22009" 400 "A time zone's offset is outside its range.";
    IntervalOverflow "22015" 400 "An interval is outside its range.";
    InvalidBinary "22P03" 400 "A value's binary form is not well formed.";
    BadCopyFormat "22P04" 400 "Copied data is not well formed.";
    UntranslatableCharacter "22P05" 400 "A character does not exist in the other encoding.";
    CharacterNotInRepertoire "22021" 400 "A byte sequence is not valid in the encoding.";
    InvalidParameterValue "22023" 400 "An argument or setting has a value that is not allowed.";
    NullNotAllowed "22004" 400 "NULL is not allowed here.";
    SubstringError "22011" 400 "A substring's length is negative.";
    InvalidEscapeCharacter "22019" 400 "An escape character is not one character.";
    InvalidEscapeSequence "22025" 400 "An escape sequence is not well formed.";
    InvalidRegex "2201B" 400 "A regular expression is not well formed.";
    InvalidRowCountInLimit "2201W" 400 "LIMIT is negative.";
    InvalidRowCountInOffset "2201X" 400 "OFFSET is negative.";
    InvalidLogarithmArgument "2201E" 400 "A logarithm of this number does not exist.";
    InvalidPowerArgument "2201F" 400 "A power of these numbers does not exist.";
    InvalidWidthBucketArgument "2201G" 400 "A range has no such parts.";
    ArraySubscript "2202E" 400 "An array's dimensions or subscripts are wrong.";
    InvalidJsonSubscript "22033" 400 "A place in an array of a JSON document does not exist.";
    NonNumericJsonItem "22036" 400 "A part of a JSON document is not a number.";
    SingletonJsonItemRequired "22038" 400 "Several parts of a JSON document were found where one was expected.";
    JsonArrayNotFound "22039" 400 "A part of a JSON document is not an array.";
    JsonMemberNotFound "2203A" 400 "A member of a JSON object does not exist.";
    JsonNumberNotFound "2203B" 400 "A part of a JSON document is not a number.";
    JsonObjectNotFound "2203C" 400 "A part of a JSON document is not an object.";
    InvalidJson "22032" 400 "A JSON text is not well formed.";
    SequenceLimit "2200H" 400 "A sequence has reached its end.";
    CardinalityViolation "21000" 400 "More than one row came where one was expected.";

    // Transactions.
    SerializationFailure "40001" 409 "Another transaction changed the same data; run the transaction again.";
    DeadlockDetected "40P01" 409 "Transactions wait for each other; run the transaction again.";
    LockNotAvailable "55P03" 409 "A lock is held by another transaction.";
    InvalidTransactionState "25000" 409 "The statement does not fit the transaction's state.";
    ActiveTransaction "25001" 409 "A transaction is in progress already.";
    NoActiveTransaction "25P01" 409 "No transaction is in progress.";
    InFailedTransaction "25P02" 409 "The transaction has failed and accepts only its end.";
    IdleTransactionTimeout "25P03" 408 "A transaction was idle for too long.";
    IdleSessionTimeout "57P05" 408 "A session was idle for too long.";
    ReadOnlyTransaction "25006" 403 "The transaction is read-only.";
    InvalidSavepoint "3B001" 404 "A savepoint does not exist.";

    // Who may do what.
    InsufficientPrivilege "42501" 403 "The role may not do this.";
    InvalidPassword "28P01" 401 "The password is wrong.";
    InvalidAuthorization "28000" 401 "The role may not connect.";
    InvalidGrantor "0L000" 403 "The role cannot grant this.";

    // Protocol, limits and operation.
    ProtocolViolation "08P01" 400 "A message does not follow the protocol.";
    ConnectionFailure "08006" 503 "A connection failed.";
    ConnectionDoesNotExist "08003" 503 "A connection is not open.";
    TooManyConnections "53300" 503 "All connections are taken.";
    InsufficientResources "53000" 503 "The server lacks a resource.";
    OutOfMemory "53200" 503 "The memory budget is used up.";
    DiskFull "53100" 507 "The disk is full.";
    ConfigurationLimit "53400" 413 "A configured limit is reached.";
    ProgramLimit "54000" 413 "A built-in limit is reached.";
    StatementTooComplex "54001" 413 "The statement is nested too deeply.";
    TooManyColumns "54011" 413 "There are too many columns.";
    TooManyArguments "54023" 413 "There are too many arguments.";
    ObjectNotInPrerequisiteState "55000" 409 "The object is not in the state that this needs.";
    ObjectInUse "55006" 409 "The object is in use.";
    CannotChangeParameter "55P02" 400 "The setting cannot be changed now.";
    QueryCanceled "57014" 408 "The statement was cancelled.";
    AdminShutdown "57P01" 503 "The server is shutting down.";
    CrashShutdown "57P02" 503 "The server has failed.";
    CannotConnectNow "57P03" 503 "The server is not ready yet.";
    DatabaseDropped "57P04" 404 "The database was dropped.";
    IoError "58030" 500 "Reading or writing a file failed.";
    UndefinedFile "58P01" 404 "A file does not exist.";
    InvalidConfiguration "F0000" 500 "The configuration is wrong.";
    RaiseException "P0001" 400 "A program raised an error.";
    DataCorrupted "XX001" 500 "Stored data is damaged.";
    IndexCorrupted "XX002" 500 "An index is damaged.";
    Internal "XX000" 500 "Something that cannot happen happened; please report it.";
}

impl ErrorKind {
    /// The kind that has this SQLSTATE.
    pub fn from_sqlstate(state: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.sqlstate() == state)
    }

    /// Whether running the same transaction again may succeed.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::SerializationFailure | Self::DeadlockDetected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_sqlstate_of_five_characters() {
        for kind in ErrorKind::ALL {
            let state = kind.sqlstate();
            assert!(state.len() == 5 && state.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()));
            assert_eq!(ErrorKind::from_sqlstate(state), Some(*kind));
        }
    }

    #[test]
    fn every_kind_has_an_http_error_status() {
        assert!(ErrorKind::ALL.iter().all(|kind| (400..600).contains(&kind.http_status())));
    }

    #[test]
    fn only_conflicts_between_transactions_are_worth_a_retry() {
        let retryable: Vec<_> = ErrorKind::ALL.iter().filter(|kind| kind.is_retryable()).collect();
        assert_eq!(retryable, [&ErrorKind::SerializationFailure, &ErrorKind::DeadlockDetected]);
    }
}
